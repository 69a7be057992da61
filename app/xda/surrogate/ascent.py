"""The first phase: sweeps of dual coordinate ascent over the rows and entries that may still change.

A survey scores all samples with one matrix product. For each sample it computes the distance from leaving its corner
and the classes that come near enough to matter. Between two surveys, sweeps visit only these rows and only these
entries: a few of 50 classes, a few thousand of 34,000 samples.

Skipping the others is safe: coordinate ascent on some coordinates keeps rows feasible and the dual value rising, and
the next survey looks at everything again. A wrongly skipped row violates its optimality conditions there and is swept
again. So the choice can cost time, but never correctness. Two bounds guide it: the optimal weights lie within
sqrt(2 (primal - dual)) of the present ones, since the primal is 1-strongly convex (gap safe screening, Ndiaye et al.,
JMLR 18, 2017); and samples have moved by a known distance since the last survey.
"""

# ruff: noqa: N803 - C is the name of the field
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xda.surrogate import blocks, kernels, objective, scan_kernels
from xda.surrogate.certificate import coef_of_support
from xda.surrogate.objective import Float, Int
from xda.surrogate.threads import Threads

Progress = Callable[[int, float], object]

FIRST_SHARE = 0.2
"""Share of the samples that the first sweep visits, before anything tells which samples matter."""

FIRST_PER_CLASS = 200
"""The first sweep visits at least so many samples per class."""

ACTIVE_SWEEPS = 20
"""At most so many sweeps between two surveys."""

SURVEY_COST = 0.125
"""Cost of a multiply-add in a survey relative to one in a sweep."""

LISTED = 8
"""At most so many entries of a row are swept, unless more of them are not zero."""

PACKED_VALUES = 1 << 26
"""A sweep copies at most so many feature values at a time: 256 MiB in float32."""

RUN = 16
"""A sweep over features in memory visits so many neighbouring rows together."""

REACH = 0.3
"""Corners are tested against this share of the ball around the weights that contains the optimum, as the gap proves."""

REACH_CAP = 0.5
"""A corner at a larger distance, in units of the margin, counts as safe until the next survey."""

MOVED = 0.95
"""This quantile of the movements since the last survey estimates the movement until the next one."""

SAMPLED = 8192
"""The quantile is taken from about so many movements."""

MOVES = 1.5
"""Sweeps skip corners further away than so many movements."""

NEAR = 5.0
"""A glance skips corners further away than so many times the distance for sweeps."""

GLANCES = 5
"""One of so many looks is a look at all samples."""

FLOOR = {np.float32: 1e-6, np.float64: 1e-12}
"""Movements below this, in units of the margin, are rounding; so are relative gaps below a tenth of it."""


@dataclass
class Samples:
    """The samples of one problem in the form that the solver reads.

    Parameters
    ----------
    features : ndarray of shape (N, d)
        In memory or memory-mapped, any float type.
    labels : ndarray of int, shape (N,)
    included : ndarray of bool, shape (N,)
        Samples that belong to the problem.
    augment : bool
        A constant 1 belongs behind every feature row.
    threads : Threads
    """

    features: NDArray[Any]
    labels: Int
    included: NDArray[np.bool_]
    augment: bool
    threads: Threads
    dtype: Any = field(init=False)
    """Floating-point type of the sweeps."""
    norms: Float = field(init=False)
    """Squared norms, shape (N,)."""
    left_out: Int = field(init=False)
    """Samples that do not belong to the problem."""

    def __post_init__(self) -> None:
        self.dtype = blocks.kernel_dtype(self.features)
        self.left_out = np.flatnonzero(~self.included)
        self.norms = blocks.squared_norms(self.features, self.dtype, self.augment, self.threads)

    def __len__(self) -> int:
        """Return N."""
        return int(self.features.shape[0])

    @property
    def width(self) -> int:
        """Number of feature columns, the constant one included."""
        return blocks.width(self.features, self.augment)

    def direct(self, dtype: Any) -> bool:
        """Tell whether kernels of this type can read the features without a copy."""
        return blocks.in_place(self.features, dtype, self.augment)

    def read(self, rows: slice | Int, dtype: Any = np.float64) -> NDArray[Any]:
        """Return some rows in the given type."""
        return blocks.read(self.features, rows, dtype, self.augment)


class Ascent:
    """Dual rows, weights, and the results of the last survey.

    Parameters
    ----------
    samples : Samples
    n_classes : int
    C : float
    rng : Generator
        Order of the sweeps.
    progress : callable, optional
        Called as ``progress(sweeps, gap)`` after every look at all samples.
    """

    def __init__(
        self, samples: Samples, n_classes: int, C: float, rng: np.random.Generator, progress: Progress | None
    ) -> None:
        n_samples = len(samples)
        self.samples, self.C = samples, C
        self._rng, self._progress = rng, progress
        self.dual = np.zeros((n_samples, n_classes))
        self.coef = np.zeros((n_classes, samples.width))
        self.slack = np.zeros(n_samples)
        self.distance = np.full(n_samples, -np.inf)
        """The scores of a sample may move so far before it leaves its corner; -inf: it is in none."""
        self.reach = np.full(n_samples, REACH_CAP)
        """A sample at a smaller distance may leave its corner before the next survey."""
        self.movement = np.inf
        """Typical change of the distances from one survey to the next."""
        self._lists = np.zeros((n_samples, min(n_classes, LISTED)), dtype=np.int32)
        self._counts = np.full(n_samples, -1, dtype=np.int32)
        self.dtype = samples.dtype
        """Type of the sweeps and looks; :meth:`sharpen` changes it."""
        self.primal, self.gap = np.inf, np.inf
        self.n_sweeps = 0
        self._since_full = 0
        self.work = 0.0
        """Upper bound of the cost of sweeps and surveys so far, in multiply-adds of a sweep."""
        self.history: list[tuple[int, float]] = []

    def restart(self, support: Int, dual_rows: Float) -> None:
        """Take over dual rows; scale down those beyond the bounds of this C, then scale all up if that is best."""
        own = dual_rows[np.arange(len(support)), self.samples.labels[support]]
        scale = np.minimum(1.0, self.C / np.maximum(own, self.C))
        scale[~self.samples.included[support]] = 0.0
        self.dual[support] = dual_rows * scale[:, None]
        self.refresh()
        # Along s alpha the dual value is s (sum of own entries) - s^2 ||W||^2 / 2, and s alpha is feasible up to C.
        own *= scale
        squared = float(np.vdot(self.coef, self.coef))
        if squared > 0.0:
            best = min(float(own.sum()) / squared, self.C / float(own.max()))
            if best > 1.0:
                self.dual *= best
                self.coef *= best

    def own(self) -> Float:
        """Return the own entry of each dual row as minus the sum of the others, so that zero rows give zero."""
        return np.asarray(self.dual[np.arange(len(self.dual)), self.samples.labels])

    def refresh(self) -> Int:
        """Recompute the weights from the dual rows, free of accumulated rounding; return the support."""
        samples, support = self.samples, np.flatnonzero(self.own())
        self.coef = coef_of_support(
            samples.features, support, self.dual[support], augment=samples.augment, threads=samples.threads
        )
        return support

    def sharpen(self) -> None:
        """Continue in float64."""
        self.dtype = np.float64
        self.refresh()

    def begin(self) -> None:
        """Sweep once over an evenly spread part of the samples and all classes."""
        index = np.flatnonzero(self.samples.included)
        wanted = max(int(FIRST_SHARE * len(index)), FIRST_PER_CLASS * self.dual.shape[1])
        if wanted < len(index):
            n_runs = len(index) // RUN
            runs = np.sort(self._rng.permutation(n_runs)[: max(1, wanted // RUN)])
            index = index[: n_runs * RUN].reshape(n_runs, RUN)[runs].ravel()
        self._sweep(index, 1)

    def advance(self, most: int) -> None:
        """Sweep a limited number of times over the samples that the last survey selected."""
        index = self.active()
        counts = self._counts[index]
        entries = float(np.where(counts < 0, self.dual.shape[1], counts).sum()) + len(index)
        look = (SURVEY_COST * self.dual.shape[1] + 1) * len(self.dual)
        self._sweep(index, min(most, ACTIVE_SWEEPS, max(1, round(2.0 * look / max(1.0, entries)))))

    def active(self) -> Int:
        """Return the samples that may leave their corner before the next survey, or are in none."""
        return np.flatnonzero(self.distance < self.reach)

    def _sweep(self, index: Int, n_sweeps: int) -> None:
        """Sweep several times over some samples; every other sweep visits only samples that moved in the last one."""
        coef = self.coef.astype(self.dtype)
        self.n_sweeps += n_sweeps
        counts = self._counts[index]
        entries = float(np.where(counts < 0, self.dual.shape[1], counts).sum()) + len(index)
        self.work += n_sweeps * entries * coef.shape[1]
        if self.samples.direct(self.dtype) and 4 * len(index) > len(self.dual):
            # Short runs of neighbours in random order converge like single rows, and read memory faster.
            whole = len(index) - len(index) % RUN
            runs = index[:whole].reshape(-1, RUN)
            moved = np.empty(len(self.dual), dtype=np.bool_)
            for number in range(n_sweeps):
                order = np.concatenate([self._rng.permutation(runs).ravel(), index[whole:]])
                if number % 2:
                    order = order[moved[order]]
                self._ascend(self.samples.features, slice(None), self.dual, order, coef, moved)
        else:
            self._sweep_copies(index, n_sweeps, coef)
        self.coef = coef.astype(np.float64)

    def _sweep_copies(self, index: Int, n_sweeps: int, coef: NDArray[Any]) -> None:
        """Sweep over copies of as many rows as fit into memory, in random order within a copy."""
        step = max(1, PACKED_VALUES // self.samples.width)
        groups = [index[start : start + step] for start in range(0, len(index), step)]
        group = index[:0]
        features, dual = self.samples.read(group, self.dtype), self.dual[group]
        moved = [np.empty(len(group), dtype=np.bool_) for group in groups]
        for number in range(n_sweeps):
            for position in self._rng.permutation(len(groups)):
                if groups[position] is not group:
                    self.dual[group] = dual
                    group = groups[position]
                    features, dual = self.samples.read(group, self.dtype), self.dual[group]
                order = self._rng.permutation(np.flatnonzero(moved[position]) if number % 2 else len(group))
                self._ascend(features, group, dual, order, coef, moved[position])
        self.dual[group] = dual

    def _ascend(
        self, features: NDArray[Any], rows: slice | Int, dual: Float, order: Int, coef: NDArray[Any],
        moved: NDArray[np.bool_],
    ) -> None:  # fmt: skip
        samples = self.samples
        kernels.ascend(
            features, samples.labels[rows], samples.norms[rows], self.C, order, coef, dual,
            self._lists[rows], self._counts[rows], moved,
        )  # fmt: skip

    def survey(self) -> float:
        """Look at all samples; return the relative gap to the precision of the type."""
        self._look(None)
        self._since_full = 0
        self.report(self.primal, self.gap)
        return self.gap

    def glance(self) -> bool:
        """Look at the samples near leaving their corner, and from time to time at all samples.

        Returns
        -------
        bool
            Whether it looked at all samples, so that the gap is that of the whole problem.
        """
        near = np.flatnonzero(self.distance < np.minimum(self.ball(), NEAR * MOVES * self.movement))
        self._since_full += 1
        if self._since_full >= GLANCES or 2 * len(near) > len(self.dual):
            self.survey()
            return True
        self._look(near)
        return False

    def _look(self, index: Int | None) -> None:
        """Compute the scores of some or all samples, and from them slacks, distances and shortlists."""
        samples = self.samples
        n_rows = len(samples) if index is None else len(index)
        weights = np.ascontiguousarray(self.coef.T, dtype=self.dtype)
        moved = np.empty(n_rows)

        def look(span: slice) -> None:
            rows = span if index is None else index[span]
            found = self.slack[rows], self.distance[rows], self._lists[rows], self._counts[rows]
            slack, distance, lists, counts = found
            scan_kernels.survey_and_shortlist(
                samples.read(rows, self.dtype), weights, samples.labels[rows], self.dual[rows], self.C,
                self.reach[rows], slack, distance, moved[span], lists, counts,
            )  # fmt: skip
            if index is not None:
                self.slack[rows], self.distance[rows], self._lists[rows], self._counts[rows] = found

        in_place = index is None and samples.direct(self.dtype)
        blocks.over(samples.threads, look, n_rows, samples.width, in_place=in_place)
        self.work += (SURVEY_COST * self.coef.shape[0] + 1) * n_rows * self.coef.shape[1]
        self.slack[samples.left_out] = 0.0
        self.distance[samples.left_out] = np.inf
        own = float(self.own().sum())
        # A glance keeps the slacks of the other samples from the last survey, so this gap is an estimate.
        self.primal = objective.primal_value(self.coef, float(self.slack.sum()), self.C)
        self.gap = objective.relative_gap(self.primal, objective.dual_value(self.coef, own))
        moved = moved[:: 1 + len(moved) // SAMPLED]
        moved = moved[moved >= 0.0]
        self.movement = float(np.quantile(moved, MOVED)) if len(moved) else np.inf
        self.reach = np.minimum(self.ball(), max(FLOOR[self.dtype], MOVES * self.movement))

    def ball(self) -> Float:
        """Return a bound on the movement of each sample's scores, within a share of the ball around the optimum."""
        radius = np.sqrt(2.0 * max(0.1 * FLOOR[self.dtype], self.gap) * abs(self.primal))
        return np.asarray(np.minimum(REACH * radius * np.sqrt(2.0 * self.samples.norms), REACH_CAP))

    def decided(self) -> bool:
        """Tell whether the gap alone proves which rows are zero at the optimum.

        The optimal weights lie within sqrt(2 (primal - dual)) of the present ones: a row is zero if its margin exceeds
        1 on all of that ball, and is not zero if it is below 1 on all of it.

        Returns
        -------
        bool
        """
        samples = self.samples
        radius = np.sqrt(2.0 * max(0.0, self.gap) * abs(self.primal))
        zero = self.own() == 0.0
        near = np.where(zero, self.distance, self.slack) <= np.sqrt(2.0 * samples.norms) * radius + 1e-5
        return not near[samples.included].any()

    def report(self, primal: float, gap: float) -> None:
        """Record and report the gap."""
        self.primal, self.gap = primal, gap
        self.history.append((self.n_sweeps, gap))
        if self._progress is not None:
            self._progress(self.n_sweeps, gap)
