"""The solver: arrays in, a frozen :class:`Solution` out.

Two phases. Sweeps of dual coordinate ascent (:func:`xda.surrogate.kernels.ascend`) find most of the zero and bounded
rows; proximal Newton steps (:mod:`xda.surrogate.newton`) on the samples that may still change go on to the optimum,
however ill-conditioned its face. Sweeping stops when it has cost what the second phase is expected to cost, which is
at most twice the cost of the better of the two.

Why leaving samples out is safe: the primal is 1-strongly convex, so the optimal weights lie within
sqrt(2 (primal - dual)) of the present ones (gap safe screening, Ndiaye et al., JMLR 18, 2017). A share of that ball,
not all of it, is what rows are tested against, and so every sample is looked at again before the end: a row wrongly
left out costs another round, never correctness. The certificate has the last word, in float64 over all samples.

Tried and no faster: sweeps in blocks of 64 or 128 rows with the scores by one matrix product and the block's Gram
matrix to keep them exact (0.23 s instead of 0.27 s a sweep at 32,000 x 2,048 with 50 classes, slower at d <= 512).
"""

# ruff: noqa: N803 - C and X are the names of the field
from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xda.surrogate import blocks, kernels, newton, objective
from xda.surrogate.certificate import Certificate, certify_solution, coef_of_support
from xda.surrogate.objective import Float, Int
from xda.surrogate.threads import Threads

Progress = Callable[[int, float], object]

ACTIVE_SWEEPS = 20
"""Sweeps at most over the same choice of samples that may still change."""

PACKED_VALUES = 1 << 26
"""Feature values copied at a time for sweeps: 256 MiB in float32."""

SWEPT = 0.3
"""Gap, relative to the tolerance, at which coordinate ascent has done its part."""

RUN = 16
"""Neighbouring rows that a sweep over features in memory visits together."""

STALLED = 10
"""Rounds of sweeps without halving a small gap after which coordinate ascent has done what its precision allows."""

SWEEP_COST = 5.0
"""Cost of a multiply-add in a sweep relative to one in a matrix product."""

NEWTON_STEPS = 15
"""Newton steps a fit takes, about."""

SETTLE = 1e-3
"""Relative gap from which the next working set is the last one, if the certificate agrees."""

REACH = 0.3
"""Share of the ball around the weights, which the gap proves to hold the optimum, that corners are tested against."""

REACH_CAP = 0.5
"""Distance, in units of the margin, beyond which a corner counts as safe for the time being."""

PATIENCE = 3
"""Working sets in a row that may fail to halve the gap before the fit gives up, not converged."""

FIRST_STEP = 10.0
"""Length of the first proximal step, in units of C."""

FINISH = 1e-4
"""Gap on the last working set relative to the tolerance: what it takes to settle which rows are zero."""


@dataclass(frozen=True)
class Solution:
    """The optimum, as far as the tolerance asked for it, and its certificate.

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
    """

    support: Int
    dual_rows: Float
    coef: Float
    slack: Float
    history: tuple[tuple[int, float], ...]
    certificate: Certificate

    @property
    def n_sweeps(self) -> int:
        """Sweeps and second-order steps taken."""
        return self.certificate.n_sweeps

    @property
    def seconds(self) -> float:
        """Wall-clock time of the solver."""
        return self.certificate.seconds


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
        Sweeps and second-order steps at most.
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

    Returns
    -------
    Solution
        Its certificate says whether it converged.

    Raises
    ------
    ValueError
        If a feature is not finite or a label out of range (the message names the row), C not positive or shapes do
        not belong together.
    """
    began = time.perf_counter()
    labels = validate(features, labels, C, n_classes)
    if included is None:
        included = np.ones(len(labels), dtype=np.bool_)
    rng = np.random.default_rng(random_state)
    threads = Threads()
    with threads.one():
        fit = _Fit(features, labels, float(C), n_classes, tol, augment, included, progress, rng, threads)
        if start is None or not len(start.support):
            fit.sweep()
        else:
            fit.restart(start.support, start.dual_rows)
        fit.sweep_active(max_sweeps)
        certificate, slack = fit.climb(max_sweeps)
    certificate = Certificate(**{**certificate.to_dict(), "seconds": time.perf_counter() - began})
    support = np.flatnonzero(fit.dual.any(axis=1))
    return Solution(support, fit.dual[support], fit.coef, slack, tuple(fit.history), certificate)


def validate(features: NDArray[Any], labels: NDArray[Any], C: float, n_classes: int) -> Int:
    """Refuse what cannot be solved; return the labels as int64.

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
        As in :func:`solve`, but for the features' values.
    """
    if features.ndim != 2 or labels.shape != (features.shape[0],):
        raise ValueError(f"features {features.shape} and labels {labels.shape} do not belong together")
    if not (np.isfinite(C) and C > 0):
        raise ValueError(f"C must be positive and finite, not {C}")
    if n_classes < 2:
        raise ValueError(f"the problem needs at least 2 classes, not {n_classes}")
    wrong = (labels < 0) | (labels >= n_classes)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"label {labels[row]} of sample {row} is not in 0..{n_classes - 1}")
    return labels.astype(np.int64, copy=False)


class _Fit:
    """The state of one run of :func:`solve`."""

    def __init__(
        self,
        features: NDArray[Any],
        labels: Int,
        C: float,
        n_classes: int,
        tol: float,
        augment: bool,
        included: NDArray[np.bool_],
        progress: Progress | None,
        rng: np.random.Generator,
        threads: Threads,
    ) -> None:
        self.features, self.labels, self.C, self.tol, self.augment = features, labels, C, tol, augment
        self.included, self.progress, self.rng, self.threads = included, progress, rng, threads
        self.n_samples, self.width = features.shape[0], blocks.width(features, augment)
        self.sweep_type = np.float32 if features.dtype.itemsize <= 4 and features.dtype.kind == "f" else np.float64
        self.direct = features.dtype == self.sweep_type and not augment and not isinstance(features, np.memmap)
        self.dual = np.zeros((self.n_samples, n_classes))
        self.coef = np.zeros((n_classes, self.width))
        self.norms = blocks.squared_norms(features, self.sweep_type, augment)
        self.slack = np.zeros(self.n_samples)
        self.distance = np.zeros(self.n_samples)
        self.primal, self.gap = np.inf, np.inf
        self.n_sweeps = 0
        self.history: list[tuple[int, float]] = []

    def _spans(self) -> list[slice]:
        return list(blocks.spans(self.n_samples, self.width + self.coef.shape[0]))

    def _read(self, rows: slice | Int, dtype: Any = np.float64) -> NDArray[Any]:
        return blocks.read(self.features, rows, dtype, self.augment)

    def restart(self, support: Int, dual_rows: Float) -> None:
        """Take over dual rows, clipped to the bounds of this C by scaling a row that exceeds them."""
        own = dual_rows[np.arange(len(support)), self.labels[support]]
        scale = np.minimum(1.0, self.C / np.maximum(own, self.C))
        scale[~self.included[support]] = 0.0
        self.dual[support] = dual_rows * scale[:, None]
        self.coef = coef_of_support(self.features, support, self.dual[support], augment=self.augment)

    def sweep(self) -> None:
        """Sweep once over all samples."""
        coef = self.coef.astype(self.sweep_type)
        self._sweep_over(np.flatnonzero(self.included), 1, coef)
        self.coef = coef.astype(np.float64)

    def _sweep_over(self, index: Int, n_sweeps: int, coef: NDArray[Any]) -> None:
        """Sweep some times over some samples; updates `coef` and the dual rows in place."""
        self.n_sweeps += n_sweeps
        if self.direct and 4 * len(index) > self.n_samples:
            # Short runs of neighbours in random order: as good as single rows, and kinder to the memory.
            whole = len(index) - len(index) % RUN
            runs = index[:whole].reshape(-1, RUN)
            for _ in range(n_sweeps):
                order = np.concatenate([self.rng.permutation(runs).ravel(), index[whole:]])
                kernels.ascend(self.features, self.labels, self.norms, self.C, order, coef, self.dual)
            return
        # From a file, converted or few: copies of as many rows as memory has room for, in random order within a copy.
        step = max(1, PACKED_VALUES // self.width)
        groups = [index[start : start + step] for start in range(0, len(index), step)]
        group = index[:0]
        block, labels, norms, dual = self._rows(group)
        for _ in range(n_sweeps):
            for position in self.rng.permutation(len(groups)):
                if groups[position] is not group:
                    self.dual[group] = dual
                    group = groups[position]
                    block, labels, norms, dual = self._rows(group)
                kernels.ascend(block, labels, norms, self.C, self.rng.permutation(len(group)), coef, dual)
        self.dual[group] = dual

    def _rows(self, index: Int) -> tuple[NDArray[Any], Int, Float, Float]:
        """Return copies of what a sweep needs of some samples."""
        return self._read(index, self.sweep_type), self.labels[index], self.norms[index], self.dual[index]

    def sweep_active(self, max_sweeps: int) -> None:
        """Sweep over the samples that may still change, until second-order steps are the better buy.

        What they will cost is not known, but it is known about how much; sweeping for as long as that costs at most
        twice the better of the two.
        """
        coef = self.coef.astype(self.sweep_type)
        spent = 0.0
        best, rounds = np.inf, 0
        while self.n_sweeps < max_sweeps:
            gap = self.survey(self.sweep_type)
            index = self._active()
            best, rounds = (gap, 0) if gap < 0.5 * best else (best, rounds + 1)
            stalled = rounds >= STALLED and gap <= SETTLE
            if gap <= SWEPT * self.tol or stalled or spent > self._newton_cost(len(index)):
                break
            n_sweeps = min(ACTIVE_SWEEPS, max(1, 2 * self.n_samples // max(1, len(index)) - 1))
            self._sweep_over(index, n_sweeps, coef)
            spent += n_sweeps * len(index) * coef.size * SWEEP_COST
            self.coef = coef.astype(np.float64)
        self._refresh()

    def _newton_cost(self, n_active: int) -> float:
        """Return about what the second-order phase would cost from here, in multiply-adds of a matrix product."""
        free = np.flatnonzero(np.isneginf(self.distance))
        freedom = float(np.count_nonzero(self.dual[free]) - len(free))
        if freedom <= newton.DENSE_FREEDOM:
            system = float(freedom) ** 3 / 6.0 + freedom * len(free) * self.width
        else:
            system = newton.CONJUGATE_STEPS * 2.0 * len(free) * self.coef.size
        return NEWTON_STEPS * (system + 4.0 * n_active * self.coef.size)

    def _refresh(self) -> None:
        """Compute the weights anew from the dual rows, without what rounding has gathered."""
        support = np.flatnonzero(self.dual.any(axis=1))
        self.coef = coef_of_support(self.features, support, self.dual[support], augment=self.augment)

    def _active(self) -> Int:
        """Return the samples whose corner is not safe, judged by a share of the ball the optimum lies in."""
        radius = np.sqrt(2.0 * max(1e-7, self.gap) * abs(self.primal))
        return np.flatnonzero(self.distance < np.minimum(REACH * np.sqrt(2.0 * self.norms) * radius, REACH_CAP))

    def survey(self, dtype: Any) -> float:
        """Look at all samples; return the relative gap as far as the type can tell it."""
        coef = self.coef.astype(dtype)
        for span in self._spans():
            plain = self._read(span, dtype) @ coef.T
            kernels.survey(plain, self.labels[span], self.dual[span], self.C, self.slack[span], self.distance[span])
        self.slack[~self.included] = 0.0
        self.distance[~self.included] = np.inf
        own = float(self.dual[np.arange(self.n_samples), self.labels].sum())
        primal = objective.primal_value(self.coef, float(self.slack.sum()), self.C)
        gap = objective.relative_gap(primal, objective.dual_value(self.coef, own))
        self._report(primal, gap)
        return gap

    def _report(self, primal: float, gap: float) -> None:
        self.primal, self.gap = primal, gap
        self.history.append((self.n_sweeps, gap))
        if self.progress is not None:
            self.progress(self.n_sweeps, gap)

    def climb(self, max_sweeps: int) -> tuple[Certificate, Float]:
        """Take proximal steps until the certificate is good and the face has settled."""
        step = FIRST_STEP * self.C
        settle = self.gap <= SETTLE
        if self.gap <= self.tol:
            # Where sweeps alone have reached the gap and no sample is near its margin, there is nothing to settle.
            result = self._certify()
            if result[0].converged and self._decided(result[0], result[1]):
                self._report(result[0].primal, result[0].relative_gap)
                return result
        best, patience = np.inf, PATIENCE
        while self.n_sweeps < max_sweeps and patience:
            work = self._working_set()
            target = FINISH * self.tol if settle else 1e-2 * self.gap
            self.coef, step, n_steps = newton.climb(work, self.coef, self.C, step, target, max_sweeps - self.n_sweeps)
            self.dual[work.index] = work.dual
            self.n_sweeps += n_steps
            if settle:
                result = self._certify()
                self._report(result[0].primal, result[0].relative_gap)
                if result[0].converged:
                    return result
                patience = PATIENCE if self.gap < 0.5 * best else patience - 1
                best = min(best, self.gap)
                self.survey(np.float64)
                step = FIRST_STEP * self.C
            else:
                settle = self.survey(self.sweep_type) <= SETTLE
        return self._certify()

    def _certify(self) -> tuple[Certificate, Float]:
        support = np.flatnonzero(self.dual.any(axis=1))
        rows = self.dual[support]
        self.coef = coef_of_support(self.features, support, rows, augment=self.augment)
        return certify_solution(
            self.features,
            self.labels,
            support,
            rows,
            self.coef,
            self.C,
            augment=self.augment,
            included=self.included,
            tol=self.tol,
            n_sweeps=self.n_sweeps,
        )

    def _decided(self, certificate: Certificate, slack: Float) -> bool:
        """Tell whether the gap alone proves which rows are zero at the optimum.

        The primal is strongly convex, so the optimal weights lie within sqrt(2 (primal - dual)) of the present ones
        (the ball of gap safe screening, Ndiaye et al. 2017). A row is zero if its margin exceeds 1 on all of the
        ball, and is not zero if it is below 1 on all of it.
        """
        radius = np.sqrt(2.0 * max(0.0, certificate.primal - certificate.dual))
        reach = np.sqrt(2.0 * self.norms) * radius + 1e-5
        zero = self.dual[np.arange(self.n_samples), self.labels] == 0.0
        near = np.where(zero, self.distance, slack) <= reach
        return not near[self.included].any()

    def _working_set(self) -> newton.WorkingSet:
        index = self._active()
        features = self._read(index)
        dual = self.dual[index]
        at_bound = self.dual[np.arange(self.n_samples), self.labels] > 0.0
        at_bound[index] = False
        n_bounded = int(np.count_nonzero(at_bound))
        offset = self.coef - dual.T @ features
        return newton.WorkingSet(index, features, self.labels[index], dual, offset, n_bounded, self.threads)
