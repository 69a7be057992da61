"""The solver: arrays in, a frozen :class:`Solution` out.

There are two phases. Sweeps of dual coordinate ascent (:mod:`xda.surrogate.ascent`) find most of the zero and bounded
rows. Proximal Newton steps (:mod:`xda.surrogate.newton`) on the samples that may still change then reach the optimum,
even on an ill-conditioned face. Sweeping stops when it has cost as much as the second phase is expected to cost, so
that both together cost at most twice the better one. The certificate, in float64 over all samples, decides.

Tried and no faster: sweeps in blocks of 64 or 128 rows with the scores by one matrix product and the block's Gram
matrix to keep them exact (0.23 s instead of 0.27 s a sweep at 32,000 x 2,048 with 50 classes, slower at d <= 512).
"""

# ruff: noqa: N803 - C and X are the names of the field
from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xda.surrogate import face, newton
from xda.surrogate.arguments import count, positive
from xda.surrogate.ascent import Ascent, Progress, Samples
from xda.surrogate.certificate import FEASIBLE, Certificate, certify_solution
from xda.surrogate.objective import Float, Int
from xda.surrogate.threads import Threads

STALLED = 10
"""Coordinate ascent has reached its precision after so many rounds of sweeps that do not halve a small gap."""

SWEEP_COST = 5.0
"""Cost of a multiply-add in a sweep relative to one in a matrix product."""

NEWTON_STEPS = 15
"""Typical number of Newton steps of a fit."""

SHARP = 1e-6
"""Below this gap sweeps continue in float64."""

SETTLE = 1e-3
"""Below this relative gap the next working set is the last one, if the certificate agrees."""

SHORTER = 25.0
"""The first proximal step on a new working set is the last one on the old, divided by this."""

PATIENCE = 5
"""The fit gives up after so many working sets in a row that do not halve the gap."""

FAILED = 3
"""Rounding is suspected after so many failed working sets in a row: steps that are too long shorten by themselves."""

ROUNDED = 30.0
"""Proximal steps are divided by this after a working set that did not halve the gap."""

UNSETTLED_PATIENCE = 10
"""While the gap is large, the fit gives up after so many working sets in a row that do not raise the dual value."""

SWEEP_SHARE = 0.5
"""Share of the allowed sweeps and steps that sweeps may use, so that some are left for the second phase."""

FIRST_STEP = 10.0
"""Smallest length of the first proximal step, in units of C."""

LONGEST_FIRST = 1e8
"""Largest length of the first proximal step, times the squared norm of a feature; longer steps are lost to rounding."""

LEAP = 1e-5
"""Relative gap at which the first proximal step is as long as 1 / (squared norm of a feature); below, it is longer."""

FINISH = 1e-3
"""Gap on the last working set relative to the tolerance, small enough to settle which rows are zero."""


@dataclass(frozen=True)
class Solution:
    """The optimum up to the tolerance, and its certificate.

    Parameters
    ----------
    support : ndarray of int, shape (n,)
        Samples whose dual row is not zero, ascending.
    dual_rows : ndarray of shape (n, K)
        Their dual rows.
    coef : ndarray of shape (K, d), or (K, d + 1) with `augment`
        Weights, float64; the intercept stands in the last column.
    slack : ndarray of shape (N,)
        Hinge loss of every sample.
    history : tuple of (int, float)
        Relative gap after so many sweeps and steps.
    certificate : Certificate
    reason : str
        Why the fit did not converge, a sentence without subject and full stop; empty if it converged.
    """

    support: Int
    dual_rows: Float
    coef: Float
    slack: Float
    history: tuple[tuple[int, float], ...]
    certificate: Certificate
    reason: str = ""


@dataclass(frozen=True)
class Start:
    """Dual rows to start from; they must be feasible.

    Parameters
    ----------
    support : ndarray of int, shape (n,)
    dual_rows : ndarray of shape (n, K)
    """

    support: Int
    dual_rows: Float


def solve(
    features: NDArray[Any],
    labels: Int,
    C: float,
    *,
    n_classes: int,
    tol: float = 1e-6,
    max_sweeps: int = 1000,
    augment: bool = False,
    included: NDArray[np.bool_] | None = None,
    start: Start | Solution | None = None,
    progress: Progress | None = None,
    random_state: int | np.random.Generator | None = 0,
    n_threads: int | None = None,
) -> Solution:
    """Solve the Crammer-Singer problem to a relative duality gap.

    Parameters
    ----------
    features : ndarray of shape (N, d)
        In memory or memory-mapped, any float type.
    labels : ndarray of int, shape (N,)
        In 0..K-1.
    C : float
        Positive; multiplies the sum of the slacks.
    n_classes : int
        K, at least 2; a class may have no sample.
    tol : float
        Relative duality gap to reach.
    max_sweeps : int
        Sweeps and second-order steps at most, together; at least 1, and at least one sweep is made.
    augment : bool
        Append a constant 1 to every feature row.
    included : ndarray of bool, shape (N,), optional
        The samples that belong to the problem, all by default; the others have zero rows, and still a slack.
    start : Start or Solution, optional
        Dual rows to start from, clipped to the bounds of this C.
    progress : callable, optional
        Called as ``progress(sweeps, gap)`` after every round.
    random_state : int, Generator or None
        Order of the sweeps.
    n_threads : int, optional
        As many as the BLAS library would use by default.

    Returns
    -------
    Solution
        Its certificate says whether it converged.

    Raises
    ------
    ValueError
        If a feature is not finite or a label out of range (the message names the row), C, `tol` or `max_sweeps` not
        positive numbers or shapes do not belong together.
    """
    began = time.perf_counter()
    tol, max_sweeps = positive("tol", tol), count("max_sweeps", max_sweeps)
    labels = validate(features, labels, C, n_classes)
    if included is None:
        included = np.ones(len(labels), dtype=np.bool_)
    rng = np.random.default_rng(random_state)
    with Threads(n_threads) as threads:
        samples = Samples(features, labels, included, augment, threads)
        ascent = Ascent(samples, n_classes, float(C), rng, progress)
        if start is None or not len(start.support):
            ascent.begin()
        else:
            ascent.restart(start.support, start.dual_rows)
        _sweep(ascent, tol, max_sweeps)
        certificate, slack = _climb(ascent, tol, max_sweeps)
    certificate = replace(certificate, seconds=time.perf_counter() - began)
    support = np.flatnonzero(ascent.own())
    reason = _reason(certificate, max_sweeps)
    return Solution(support, ascent.dual[support], ascent.coef, slack, tuple(ascent.history), certificate, reason)


def _reason(certificate: Certificate, max_sweeps: int) -> str:
    """Return the reason why a fit did not converge; empty if it did."""
    if certificate.converged:
        return ""
    if certificate.infeasibility > FEASIBLE:
        return f"infeasible: the dual rows break their bounds by {certificate.infeasibility:.2e} of C"
    gap = f"relative gap {certificate.relative_gap:.2e}, asked for {certificate.tol:.2e}"
    if certificate.n_sweeps >= max_sweeps:
        return f"{gap}: all {max_sweeps} sweeps and steps allowed are used up"
    return f"{gap}: stalled, further steps do not lower it (features or C may be so large that rounding dominates)"


def validate(features: NDArray[Any], labels: NDArray[Any], C: float, n_classes: int) -> Int:
    """Refuse invalid arguments; return the labels as int64.

    Parameters
    ----------
    features : ndarray of shape (N, d)
    labels : ndarray of shape (N,)
    C : float
    n_classes : int

    Returns
    -------
    ndarray of int64, shape (N,)

    Raises
    ------
    ValueError
        As in :func:`solve`, but without checking the values of the features.
    """
    if features.ndim != 2 or labels.shape != (features.shape[0],):
        raise ValueError(f"features {features.shape} and labels {labels.shape} do not belong together")
    positive("C", C)
    if n_classes < 2:
        raise ValueError(f"the problem needs at least 2 classes, not {n_classes}")
    wrong = (labels < 0) | (labels >= n_classes)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"label {labels[row]} of sample {row} is not in 0..{n_classes - 1}")
    return labels.astype(np.int64, copy=False)


def _sweep(ascent: Ascent, tol: float, max_sweeps: int) -> None:
    """Sweep until second-order steps are the cheaper choice.

    Their cost can only be estimated. Sweeping up to this cost makes the total at most twice that of the better choice.
    """
    best, rounds, whole = np.inf, 0, True
    most = max(1, int(SWEEP_SHARE * max_sweeps))
    ascent.survey()
    while ascent.n_sweeps < most:
        gap = ascent.gap
        best, rounds = (gap, 0) if gap < 0.5 * best else (best, rounds + 1)
        stalled = rounds >= STALLED and gap <= SETTLE
        enough = gap <= FINISH * tol or SWEEP_COST * ascent.work > _newton_cost(ascent)
        if ascent.n_sweeps and (enough or stalled or (gap <= tol and whole and ascent.decided())):
            if whole:
                break
            ascent.survey()
            whole = True
            continue
        if gap <= SHARP and ascent.dtype != np.float64:
            ascent.sharpen()
        ascent.advance(most - ascent.n_sweeps)
        whole = ascent.glance()
    if not whole:
        ascent.survey()
    ascent.refresh()


def _newton_cost(ascent: Ascent) -> float:
    """Estimate the cost of the second-order phase from here, in multiply-adds of a matrix product."""
    free = np.flatnonzero(np.isneginf(ascent.distance))
    freedom = float(np.count_nonzero(ascent.dual[free]) - len(free))
    way = face.way(int(freedom), ascent.coef.size)
    if way == "face":
        system = freedom**3 / 6.0 + freedom * len(free) * ascent.samples.width
    elif way == "weights":
        entries = freedom / max(1, len(free)) + 1.0
        system = ascent.coef.size**3 / 6.0 + len(free) * (entries * ascent.samples.width) ** 2 / 2.0
    else:
        system = face.CONJUGATE_STEPS * 2.0 * len(free) * ascent.coef.size
    return NEWTON_STEPS * (system + 4.0 * len(_working(ascent)) * ascent.coef.size)


def _working(ascent: Ascent) -> Int:
    """Return the samples that the second-order phase should move."""
    return np.flatnonzero(ascent.distance < ascent.ball())


def _climb(ascent: Ascent, tol: float, max_sweeps: int) -> tuple[Certificate, Float]:
    """Take proximal steps until the certificate is good and the support no longer changes."""
    curvature = max(1e-12, float(np.median(ascent.samples.norms)))
    first = max(FIRST_STEP * ascent.C, LEAP / max(1e-9, ascent.gap) / curvature)
    first = min(first, LONGEST_FIRST / curvature)
    step = first
    settle = ascent.gap <= SETTLE
    if ascent.gap <= FINISH * tol or (ascent.gap <= tol and ascent.decided()):
        certificate, slack = _certify(ascent, tol)
        ascent.report(certificate.primal, certificate.relative_gap)
        ascent.slack = slack
        if certificate.converged and (ascent.gap <= FINISH * tol or ascent.decided()):
            return certificate, slack
    best, patience, longest = np.inf, PATIENCE, np.inf
    highest, idle = 0.0, 0
    while ascent.n_sweeps < max_sweeps and patience and idle < UNSETTLED_PATIENCE:
        work = _working_set(ascent)
        target = FINISH * tol if settle else 1e-2 * ascent.gap
        ascent.coef, step, n_steps = newton.climb(
            work, ascent.coef, ascent.C, min(step, longest), target, max_sweeps - ascent.n_sweeps, longest
        )
        ascent.dual[work.index] = work.dual
        ascent.n_sweeps += n_steps
        if settle:
            result = _certify(ascent, tol)
            ascent.report(result[0].primal, result[0].relative_gap)
            if result[0].converged:
                return result
            gap = ascent.gap
            ascent.sharpen()
            ascent.survey()
            patience = PATIENCE if gap < 0.5 * best else patience - 1
            step = max(first, step / SHORTER)
        else:
            gap = ascent.survey()
            settle = gap <= SETTLE
            value = ascent.primal * (1.0 - gap)
            idle = idle + 1 if value <= 1.01 * highest else 0
            highest = max(highest, value)
        if gap >= 0.5 * best and (settle or idle > FAILED):
            # Rounding eats the gain of the steps; shorter steps suffer less from it.
            longest = min(step, longest) / ROUNDED
        best = min(best, gap)
    return _certify(ascent, tol)


def _certify(ascent: Ascent, tol: float) -> tuple[Certificate, Float]:
    samples, support = ascent.samples, ascent.refresh()
    return certify_solution(
        samples.features,
        samples.labels,
        support,
        ascent.dual[support],
        ascent.coef,
        ascent.C,
        augment=samples.augment,
        included=samples.included,
        tol=tol,
        n_sweeps=ascent.n_sweeps,
        threads=samples.threads,
    )


def _working_set(ascent: Ascent) -> newton.WorkingSet:
    samples, index = ascent.samples, _working(ascent)
    features, dual = samples.read(index), ascent.dual[index]
    at_bound = ascent.own() > 0.0
    at_bound[index] = False
    n_bounded = int(np.count_nonzero(at_bound))
    offset = ascent.coef - samples.threads.matmul(dual.T, features)
    return newton.WorkingSet(index, features, samples.labels[index], dual, offset, n_bounded, samples.threads)
