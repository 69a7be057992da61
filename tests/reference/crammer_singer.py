"""Slow twins of the surrogate: each formula as the paper has it, tiny, float64, by other means than the package.

``quadratic_program`` solves the whole dual with a dense primal-dual interior point; it shares no line with
``xda.surrogate`` and knows the problem only as a quadratic programme in beta = -alpha >= 0.
"""

# ruff: noqa: N803, N806, B023 - C and X are the names of the field; the closures are used up within their round
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

Float = NDArray[np.float64]
Int = NDArray[np.int64]


def row_problem(linear: Float, label: int, q: float, C: float) -> Float:
    """Minimise q/2 |a|^2 + B.a over one row, by sorting, as method section 3 writes it."""
    n_classes = len(linear)
    D = linear.astype(np.float64).copy()
    D[label] += q * C
    D = np.sort(D)[::-1]
    beta = D[0] - q * C
    r = 1
    while r < n_classes and beta < r * D[r]:
        beta += D[r]
        r += 1
    beta /= r
    bound = np.zeros(n_classes)
    bound[label] = C
    return np.asarray(np.minimum(bound, (beta - linear) / q))


def ascent(X: Float, y: Int, C: float, n_classes: int, n_sweeps: int) -> Float:
    """Dual coordinate ascent in the order of the samples; the dual rows after so many sweeps."""
    alpha = np.zeros((len(y), n_classes))
    coef = np.zeros((n_classes, X.shape[1]))
    for _ in range(n_sweeps):
        for i, (z, label) in enumerate(zip(X, y, strict=True)):
            q = float(z @ z)
            augmented = coef @ z + (np.arange(n_classes) != label)
            new = row_problem(augmented - q * alpha[i], int(label), q, C)
            coef += np.outer(new - alpha[i], z)
            alpha[i] = new
    return alpha


def primal(X: Float, y: Int, coef: Float, C: float) -> float:
    """The primal objective, sample by sample."""
    total = 0.0
    for z, label in zip(X, y, strict=True):
        scores = coef @ z
        total += max(scores[m] - scores[label] + (m != label) for m in range(len(coef)))
    return 0.5 * float((coef**2).sum()) + C * total


def dual(X: Float, y: Int, alpha: Float, C: float) -> float:
    """The dual objective, to be maximised, term by term."""
    coef = alpha.T @ X
    others = sum(alpha[i, m] for i in range(len(y)) for m in range(alpha.shape[1]) if m != y[i])
    return -0.5 * float((coef**2).sum()) - float(others)


def small_primal(X: Float, y: Int, C: float, n_classes: int) -> Float:
    """The weights by a general constrained solver (SLSQP) on the primal with explicit slacks."""
    n, d = X.shape
    size = n_classes * d

    def objective(v: Float) -> tuple[float, Float]:
        gradient = np.concatenate([v[:size], np.full(n, C)])
        return 0.5 * float(v[:size] @ v[:size]) + C * float(v[size:].sum()), gradient

    rows = []
    for i in range(n):
        for m in range(n_classes):
            row = np.zeros(size + n)
            if m != y[i]:
                row[y[i] * d : (y[i] + 1) * d] += X[i]
                row[m * d : (m + 1) * d] -= X[i]
            row[size + i] = 1.0
            rows.append(row)
    A = np.array(rows)
    right = np.array([float(m != y[i]) for i in range(n) for m in range(n_classes)])
    constraint = {"type": "ineq", "fun": lambda v: A @ v - right, "jac": lambda v: A}
    start = np.concatenate([np.zeros(size), np.ones(n)])
    found = optimize.minimize(
        objective, start, jac=True, method="SLSQP", constraints=[constraint], options={"ftol": 1e-14, "maxiter": 2000}
    )
    return np.asarray(found.x[:size]).reshape(n_classes, d)


def quadratic_program(X: Float, y: Int, C: float, n_classes: int, tol: float = 1e-12) -> Float:
    """The dual rows by a dense Mehrotra interior point; interior, so zeros are only small (relative to C).

    In beta_i^m = -alpha_i^m >= 0 for m != y_i, with sum_m beta_i^m + t_i = C and t_i >= 0.
    """
    n = len(y)
    pairs = [(i, m) for i in range(n) for m in range(n_classes) if m != y[i]]
    owner = np.array([i for i, _ in pairs])
    other = np.array([m for _, m in pairs])
    own = y[owner]
    gram = X @ X.T
    same = (other[:, None] == other[None, :]).astype(float) + (own[:, None] == own[None, :])
    cross = (other[:, None] == own[None, :]).astype(float) + (own[:, None] == other[None, :])
    Q = (same - cross) * gram[np.ix_(owner, owner)]
    A = np.zeros((n, len(pairs)))
    A[owner, np.arange(len(pairs))] = 1.0
    # Work with x = beta / C, so that all quantities are of order one: min C/2 x'Qx - 1'x, Ax + t = 1.
    Q = Q * C
    x = np.full(len(pairs), 0.5 / (n_classes - 1))
    t = np.full(n, 0.5)
    u = np.ones(len(pairs))
    v = np.ones(n)
    lam = np.ones(n)
    for _ in range(200):
        r_dual = Q @ x - 1.0 + A.T @ lam - u
        r_slack = lam - v
        r_primal = A @ x + t - 1.0
        mu = float(x @ u + t @ v) / (len(x) + n)
        if max(np.abs(r_dual).max(), np.abs(r_slack).max(), np.abs(r_primal).max()) < 1e-9 and mu < tol * min(
            1.0, x.mean()
        ):
            break

        def direction(
            r_x: Float, r_t: Float, r_dual: Float = r_dual, r_slack: Float = r_slack, r_primal: Float = r_primal
        ) -> tuple[Float, Float, Float, Float, Float]:
            # u, v and t are eliminated, the multiplier stays: without it the matrix would lose its small entries.
            matrix = np.block([[Q + np.diag(u / x), A.T], [A, -np.diag(t / v)]])
            right = np.concatenate([-(r_dual + r_x / x), -r_primal + (r_t + t * r_slack) / v])
            solution = np.linalg.solve(matrix, right)
            dx, dlam = solution[: len(x)], solution[len(x) :]
            dv = dlam + r_slack
            dt = -(r_t + t * dv) / v
            du = -(r_x + u * dx) / x
            return dx, dt, du, dv, dlam

        def longest(dx: Float, dt: Float, du: Float, dv: Float) -> float:
            steps = [1.0]
            for value, change in ((x, dx), (t, dt), (u, du), (v, dv)):
                falling = change < 0
                if falling.any():
                    steps.append(float((-value[falling] / change[falling]).min()))
            return min(steps)

        dx, dt, du, dv, dlam = direction(x * u, t * v)
        length = longest(dx, dt, du, dv)
        ahead = float((x + length * dx) @ (u + length * du) + (t + length * dt) @ (v + length * dv)) / (len(x) + n)
        centre = (ahead / mu) ** 3 * mu
        dx, dt, du, dv, dlam = direction(x * u + dx * du - centre, t * v + dt * dv - centre)
        length = min(1.0, 0.995 * longest(dx, dt, du, dv))
        x, t, u, v, lam = x + length * dx, t + length * dt, u + length * du, v + length * dv, lam + length * dlam
    alpha = np.zeros((n, n_classes))
    alpha[owner, other] = -C * x
    alpha[np.arange(n), y] = -alpha.sum(axis=1)
    return alpha


def margins(augmented: Float, labels: Int) -> Float:
    r"""Return :math:`w_{y_i} \cdot z_i - \max_{m \ne y_i} w_m \cdot z_i`; above 1 the sample has no effect.

    Parameters
    ----------
    augmented : ndarray of shape (n, K)
        Scores as of ``objective.scores``, K >= 2.
    labels : ndarray of int, shape (n,)

    Returns
    -------
    ndarray of shape (n,)
    """
    index = np.arange(len(labels))
    others = augmented.copy()
    others[index, labels] = -np.inf
    return np.asarray(augmented[index, labels] - others.max(axis=1) + 1.0)


def kkt_violations(augmented: Float, dual_rows: Float, labels: Int, C: float) -> Float:
    r"""Return :math:`\max_m G_i^m - \min_{m: \alpha_i^m < C [m = y_i]} G_i^m` of each sample; zero at the optimum.

    For a zero row this is the slack: the sample is rightly left out if and only if it violates nothing.

    Parameters
    ----------
    augmented : ndarray of shape (n, K)
        Scores as of ``objective.scores``.
    dual_rows : ndarray of shape (n, K)
    labels : ndarray of int, shape (n,)
    C : float

    Returns
    -------
    ndarray of shape (n,)
    """
    bounds = np.zeros_like(augmented)
    bounds[np.arange(len(labels)), labels] = C
    may_grow = np.where(dual_rows < bounds, augmented, np.inf).min(axis=1)
    return np.asarray(augmented.max(axis=1) - may_grow)
