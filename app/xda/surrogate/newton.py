r"""The second-order phase: proximal point in the dual, semismooth Newton inside.

Coordinate ascent crawls once the optimal face is ill-conditioned. Here each outer step solves

.. math:: \min_{\alpha \in \Omega} \; f(\alpha) + \frac{1}{2\sigma} \|\alpha - \bar\alpha\|^2

where :math:`-f` is the dual objective; Rockafellar (1976) shows that the steps converge for any :math:`\sigma`, as fast
as one likes for large ones, and in finitely many steps for a piecewise quadratic :math:`f`. The step itself is solved
in the weights: its optimality condition is :math:`F(W) = W - \alpha(W)^\top Z = 0` where
:math:`\alpha_i(W) = \Pi_\Omega(\bar\alpha_i - \sigma G_i)` is the row-wise projection of
:func:`xda.surrogate.kernels.proximal_rows`, so bounds and zeros are exact at all times. F is the gradient of a strongly
convex function and piecewise linear, with generalised Jacobian :math:`I + \sigma \sum_i J_i \otimes z_i z_i^\top`;
only rows on a face of positive dimension have :math:`J_i \ne 0`, a few hundred where there are 60,000 samples.

References
----------
Rockafellar, "Monotone operators and the proximal point algorithm", SIAM J. Control Optim. 14, 1976.
Li, Sun and Toh, "A highly efficient semismooth Newton augmented Lagrangian method for solving Lasso problems",
SIAM J. Optim. 28, 2018.
Solodov and Svaiter, "A hybrid approximate extragradient-proximal point algorithm", Set-Valued Analysis 7, 1999
(the relative stopping rule of the inner loop).
"""

# ruff: noqa: N803 - C and X are the names of the field
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from xda.surrogate import kernels
from xda.surrogate.objective import Float, Int

DENSE_FREEDOM = 3000
"""Degrees of freedom up to which the Newton system is factored; above, conjugate gradients."""

INNER_STEPS = 20
"""Newton steps of one proximal step at most; if they do not do, the step was too long."""

ROUNDING = 1e-14
"""Rounding of the weights relative to the terms they are summed from."""

INNER_RATIO = 0.3
"""The inner loop ends when the error of the step is this share of the step."""


@dataclass
class WorkingSet:
    """The samples a second-order phase moves; all others keep their dual rows.

    Parameters
    ----------
    index : ndarray of int, shape (n,)
        Their place among all samples.
    features : ndarray of shape (n, d)
    labels : ndarray of int, shape (n,)
    dual : ndarray of shape (n, K)
        Their dual rows, replaced by every step.
    offset : ndarray of shape (K, d)
        Weights that the other samples contribute.
    """

    index: Int
    features: Float
    labels: Int
    dual: Float
    offset: Float


def proximal_step(work: WorkingSet, coef: Float, C: float, step: float, goal: float = 0.0) -> tuple[Float, int, bool]:
    """Take one proximal step on a working set.

    Parameters
    ----------
    work : WorkingSet
        Its `dual` is replaced.
    coef : ndarray of shape (K, d)
        Weights to start from.
    C : float
    step : float
        The step length sigma.
    goal : float
        Error of the primal value that is good enough, however short the step was.

    Returns
    -------
    coef : ndarray of shape (K, d)
        The weights of the new dual rows; of an unfinished step, the weights to go on from.
    n_steps : int
        Newton steps taken.
    finished : bool
        Whether the step was solved well enough; if not, the dual rows are left as they were.
    """
    features, labels, centre = work.features, work.labels, work.dual
    inverse_step = 1.0 / step
    weight = float(np.sqrt(np.einsum("ij,ij->i", features, features) @ np.einsum("ij,ij->i", centre, centre)))
    # How fast the primal value can change with the weights.
    pull = float(np.linalg.norm(coef)) + 2.0 * C * float(np.sqrt(np.einsum("ij,ij->i", features, features)).sum())
    dual = np.empty_like(centre)
    trial = np.empty_like(centre)
    free = np.empty(centre.shape, dtype=np.bool_)
    plain = features @ coef.T
    kernels.proximal_rows(plain, labels, centre, inverse_step, C, dual)
    n_steps = 0
    while True:
        own_coef = work.offset + dual.T @ features
        residual = coef - own_coef
        error = np.vdot(residual, residual)
        moved = dual - centre
        # The error of the step is |F|^2 / 2; below the rounding of W(alpha) there is nothing left to gain.
        rounding = ROUNDING * (float(np.linalg.norm(own_coef)) + weight)
        share = INNER_RATIO**2 * float(np.vdot(moved, moved)) * inverse_step
        if error <= max(share, (goal / (1.0 + pull)) ** 2, rounding**2):
            break
        if n_steps == INNER_STEPS:
            return coef, n_steps, False
        freedom = kernels.free_classes(dual, labels, C, free)
        direction = -_newton_direction(features, free, freedom, residual, inverse_step)
        plain_direction = features @ direction.T
        slope = float(np.vdot(residual, direction))
        length_taken = _line_search(
            work, coef, direction, plain, plain_direction, centre, inverse_step, C, trial, slope
        )
        if length_taken == 0.0:
            return coef, n_steps, False
        coef = coef + length_taken * direction
        plain += length_taken * plain_direction
        dual, trial = trial, dual
        n_steps += 1
    work.dual = dual
    return own_coef, n_steps, True


def _line_search(
    work: WorkingSet,
    coef: Float,
    direction: Float,
    plain: Float,
    plain_direction: Float,
    centre: Float,
    inverse_step: float,
    C: float,
    trial: Float,
    start: float,
) -> float:
    """Find where the slope along the direction has fallen enough; `trial` gets the dual rows there.

    The slope is monotone and piecewise linear, so bracketing it is safe where comparing values would drown in
    rounding.
    """
    constant = float(np.vdot(coef - work.offset, direction))
    squared = float(np.vdot(direction, direction))

    def slope(t: float) -> float:
        kernels.proximal_rows(plain + t * plain_direction, work.labels, centre, inverse_step, C, trial)
        return constant + t * squared - float(np.vdot(trial, plain_direction))

    low, at_low, high, at_high = 0.0, start, 1.0, slope(1.0)
    if at_high <= 0.5 * abs(start):
        return 1.0
    t = 1.0
    for attempt in range(30):
        # Regula falsi, kept off the ends of the bracket; every third try bisects.
        t = low - at_low * (high - low) / (at_high - at_low) if attempt % 3 else 0.5 * (low + high)
        width = high - low
        t = min(max(t, low + 0.05 * width), high - 0.05 * width)
        at = slope(t)
        if abs(at) <= 0.3 * abs(start):
            break
        if at > 0.0:
            high, at_high = t, at
        else:
            low, at_low = t, at
    else:
        return 0.0
    return t


def _newton_direction(
    features: Float, free: NDArray[np.bool_], freedom: int, residual: Float, inverse_step: float
) -> Float:
    """Solve (I + sigma sum_i J_i (x) z_i z_i^T) V = residual."""
    if freedom == 0:
        return residual
    rows = np.flatnonzero(free.any(axis=1))
    if len(rows) == len(features):
        sub, sub_free = features, free
    else:
        sub, sub_free = features[rows], free[rows]
    if freedom <= DENSE_FREEDOM:
        return _solve_dense(sub, sub_free, freedom, residual, inverse_step)
    return _solve_conjugate_gradient(sub, sub_free, residual, inverse_step)


def _solve_dense(features: Float, free: NDArray[np.bool_], freedom: int, residual: Float, inverse_step: float) -> Float:
    """Solve by the Woodbury identity: a system of the size of the face, not of the weights."""
    basis = np.empty((freedom, free.shape[1]))
    owner = np.empty(freedom, dtype=np.int64)
    kernels.face_basis(free, basis, owner)
    matrix = np.zeros((freedom, freedom))
    kernels.face_matrix(features @ features.T, basis, owner, inverse_step, matrix)
    right = np.einsum("pk,pk->p", basis, (features @ residual.T)[owner])
    factor = linalg.cho_factor(matrix.T, lower=True, overwrite_a=True, check_finite=False)
    solution = linalg.cho_solve(factor, right, check_finite=False)
    moved = np.zeros(free.shape)
    np.add.at(moved, owner, basis * solution[:, None])
    return residual - np.asarray(moved.T @ features)


def _solve_conjugate_gradient(
    features: Float, free: NDArray[np.bool_], residual: Float, inverse_step: float, tol: float = 1e-2, limit: int = 200
) -> Float:
    """Solve by conjugate gradients in the weights, to a relative residual `tol`."""
    step = 1.0 / inverse_step
    solution = np.zeros_like(residual)
    remainder = residual.copy()
    search = remainder.copy()
    squared = float(np.vdot(remainder, remainder))
    goal = tol**2 * squared
    for _ in range(limit):
        rows = features @ search.T
        kernels.centre_rows(free, rows)
        product = search + step * (rows.T @ features)
        alpha = squared / float(np.vdot(search, product))
        solution += alpha * search
        remainder -= alpha * product
        previous, squared = squared, float(np.vdot(remainder, remainder))
        if squared <= goal:
            break
        search = remainder + (squared / previous) * search
    return solution
