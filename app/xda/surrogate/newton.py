r"""The second-order phase: proximal point in the dual, semismooth Newton inside.

Coordinate ascent crawls once the optimal face is ill-conditioned. Here each outer step solves

.. math:: \min_{\alpha \in \Omega} \; f(\alpha) + \frac{1}{2\sigma} \|\alpha - \bar\alpha\|^2

where :math:`-f` is the dual objective; Rockafellar (1976) shows that the steps converge for any :math:`\sigma`, as fast
as one likes for large ones, and in finitely many steps for a piecewise quadratic :math:`f`. The step itself is solved
in the weights: its optimality condition is :math:`F(W) = W - \alpha(W)^\top Z = 0` where
:math:`\alpha_i(W) = \Pi_\Omega(\bar\alpha_i - \sigma G_i)` is the row-wise projection of
:func:`xda.surrogate.kernels.proximal_rows`, so bounds and zeros are exact at all times. F is the gradient of a strongly
convex function and piecewise linear; only rows on a face of positive dimension enter its generalised Jacobian
(:mod:`xda.surrogate.face`), a few hundred where there are 60,000 samples.

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

from dataclasses import dataclass, field

import numpy as np

from xda.surrogate import face_kernels, kernels
from xda.surrogate.face import FaceSolver
from xda.surrogate.objective import Float, Int, dual_value, primal_value, relative_gap
from xda.surrogate.threads import Threads

INNER_STEPS = 30
"""A proximal step takes at most so many Newton steps; if it needs more, it was too long."""

NEARLY = 10.0
"""Within this factor of the target, a climb also ends as soon as a step no longer lowers the gap."""

ALMOST = 100.0
"""Within this factor of the target, a climb also ends as soon as a step fails."""

ROUNDING = 1e-15
"""Rounding of the weights relative to the terms they are summed from."""

GROWTH = ((1, 10.0), (3, 3.0), (5, 2.0), (8, 1.5))
"""After a proximal step of at most so many Newton steps, the next one is longer by this factor."""

INNER_RATIO = 0.1
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
    n_bounded : int
        Bounded samples among the others.
    threads : Threads
    """

    index: Int
    features: Float
    labels: Int
    dual: Float
    offset: Float
    n_bounded: int
    threads: Threads
    face: FaceSolver = field(init=False)
    norm: float = field(init=False)
    """Frobenius norm of the features."""

    def __post_init__(self) -> None:
        self.face = FaceSolver(self.features, self.threads)
        self.norm = float(np.linalg.norm(self.features))

    def values(self, coef: Float, plain: Float, C: float) -> tuple[float, float]:
        """Return primal and dual value, as far as the other samples stay in their corners.

        A sample at rest in (C at y, -C at m) has slack 1 + (w_m - w_y) . z, so that the slacks of all of them are
        linear in the weights, with the offset as their gradient; those of the zero rows are zero.

        Parameters
        ----------
        coef : ndarray of shape (K, d)
            Weights of the present dual rows.
        plain : ndarray of shape (n, K)
            Scores of the working set.
        C : float

        Returns
        -------
        primal, dual : float
        """
        rows = np.arange(len(self.labels))
        plain = plain + 1.0
        own = plain[rows, self.labels] - 1.0
        plain[rows, self.labels] = own
        slack = float((plain.max(axis=1) - own).sum())
        others = C * self.n_bounded - float(np.vdot(coef, self.offset))
        total_own = float(self.dual[rows, self.labels].sum()) + C * self.n_bounded
        return primal_value(coef, slack, C) + others, dual_value(coef, total_own)


def climb(
    work: WorkingSet, coef: Float, C: float, step: float, target: float, max_steps: int, longest_step: float = np.inf
) -> tuple[Float, float, int]:
    """Take proximal steps of growing length until the working set's own relative gap reaches the target.

    Parameters
    ----------
    work : WorkingSet
        Its `dual` is replaced by better ones.
    coef : ndarray of shape (K, d)
        Weights of its dual rows.
    C : float
    step : float
        Length of the first step.
    target : float
        Relative gap to reach; the climb also ends where rounding lets it go no further.
    max_steps : int
        Largest number of Newton steps; a proximal step that would take more is given up.
    longest_step : float
        No step is longer, because the rounding errors of the dual rows grow with the length.

    Returns
    -------
    coef : ndarray of shape (K, d)
        Weights of the new dual rows.
    step : float
        Length to go on with.
    n_steps : int
        Newton steps taken.
    """
    n_steps, failures, idle, longest = 0, 0, 0, np.inf
    primal, value = work.values(coef, work.threads.matmul(work.features, coef.T), C)
    best = (relative_gap(primal, value), coef, work.dual)
    trial = coef
    while n_steps < max_steps and failures < 4 and idle < 3:
        before = work.dual
        trial, n_inner, finished = proximal_step(work, trial, C, step, min(INNER_STEPS, max_steps - n_steps))
        n_steps += max(1, n_inner)
        if finished:
            primal, reached = work.values(trial, work.threads.matmul(work.features, trial.T), C)
            # An exact step cannot lower the dual value; if it fell, the step was too long for the precision.
            if reached < value - 1e-14 * abs(primal):
                work.dual, trial, finished = before, coef, False
        if not finished:
            failures += 1
            longest, step = 0.5 * step, step / 8.0
            if best[0] <= ALMOST * target:
                break
            continue
        idle = idle + 1 if reached <= value + 1e-15 * abs(primal) else 0
        failures, coef, value = 0, trial, reached
        gap = relative_gap(primal, value)
        if gap <= best[0] or best[0] > 1e-3:
            best = (gap, coef, work.dual)
        elif best[0] <= NEARLY * target:
            break
        if gap <= target:
            break
        # The next steps stay below one that failed, until they are easy.
        longest *= 1.5 if n_inner <= 2 else 1.0
        step *= next((factor for most, factor in GROWTH if n_inner <= most), 1.0)
        step = min(step, longest, longest_step)
    _, coef, work.dual = best
    return coef, step, n_steps


def proximal_step(
    work: WorkingSet, coef: Float, C: float, step: float, most: int = INNER_STEPS
) -> tuple[Float, int, bool]:
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
    most : int
        Newton steps at most.

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
    reach = work.norm
    weight = reach * float(np.linalg.norm(centre))
    dual = np.empty_like(centre)
    trial = np.empty_like(centre)
    free = np.empty(centre.shape, dtype=np.bool_)
    plain = work.threads.matmul(features, coef.T)
    kernels.proximal_rows(plain, labels, centre, inverse_step, C, dual)
    n_steps = 0
    while True:
        own_coef = work.offset + work.threads.matmul(dual.T, features)
        residual = coef - own_coef
        error = np.vdot(residual, residual)
        moved = dual - centre
        # The error of the step is |F|^2 / 2; below the rounding of W(alpha) there is nothing left to gain.
        rounding = ROUNDING * (
            float(np.linalg.norm(own_coef)) + weight + step * reach * float(np.abs(plain).max(initial=0.0))
        )
        share = INNER_RATIO**2 * float(np.vdot(moved, moved)) * inverse_step
        if error <= max(share, rounding**2):
            break
        if n_steps == most:
            return coef, n_steps, False
        freedom = face_kernels.free_classes(dual, labels, C, free)
        direction = -work.face.solve(free, freedom, residual, inverse_step)
        plain_direction = work.threads.matmul(features, direction.T)
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
    """Find a point along the direction with a small enough slope; `trial` gets the dual rows there.

    The slope is monotone and piecewise linear, so it can be bracketed; rounding would hide differences of values.
    """
    constant = float(np.vdot(coef - work.offset, direction))
    squared = float(np.vdot(direction, direction))

    def slope(t: float) -> float:
        kernels.proximal_rows(plain + t * plain_direction, work.labels, centre, inverse_step, C, trial)
        return constant + t * squared - float(np.vdot(trial, plain_direction))

    low, at_low, high, at_high = 0.0, start, 1.0, slope(1.0)
    if not np.isfinite(at_high):
        return 0.0
    if at_high <= 0.5 * abs(start):
        return 1.0
    t = 1.0
    for attempt in range(30):
        # Regula falsi, kept off the ends of the bracket; every third try bisects.
        secant = attempt % 3 and at_high > at_low
        t = low - at_low * (high - low) / (at_high - at_low) if secant else 0.5 * (low + high)
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
