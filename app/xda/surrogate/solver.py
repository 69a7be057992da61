"""The solver: arrays in, a frozen :class:`Solution` out.

Two phases. Sweeps of dual coordinate ascent (:func:`xda.surrogate.kernels.ascend`) go quickly to a gap of a few
per cent and find most of the zero and bounded rows. Proximal Newton steps (:mod:`xda.surrogate.newton`) on the samples
that may still change then go to the optimum, however ill-conditioned its face. Rows that are left out of a step are
zero or bounded with the scores far from where that would change; each round looks at *all* samples again, so leaving
them out can cost time but never correctness. The last word has the certificate, in float64 over all samples.
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

Progress = Callable[[int, float], object]

FIRST_SWEEPS = 3
"""Sweeps of coordinate ascent over the active samples before the second-order phase."""

FINISHING = 4
"""Proximal steps at most that are taken after the tolerance is reached, to settle which rows are zero."""


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
    fit = _Fit(features, labels, float(C), n_classes, tol, augment, included, progress, rng)
    if start is None or not len(start.support):
        fit.sweep(min(FIRST_SWEEPS, max_sweeps))
    else:
        fit.restart(start.support, start.dual_rows)
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
        As in :func:`solve`.
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
    if (row_or_none := blocks.first_non_finite(features)) is not None:
        raise ValueError(f"sample {row_or_none} has a feature that is NaN or infinite")
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
    ) -> None:
        self.features, self.labels, self.C, self.tol, self.augment = features, labels, C, tol, augment
        self.included, self.progress, self.rng = included, progress, rng
        self.n_samples, self.width = features.shape[0], blocks.width(features, augment)
        self.sweep_type = np.float32 if features.dtype.itemsize <= 4 and features.dtype.kind == "f" else np.float64
        self.dual = np.zeros((self.n_samples, n_classes))
        self.coef = np.zeros((n_classes, self.width))
        self.norms = self._norms()
        self.slack = np.zeros(self.n_samples)
        self.distance = np.zeros(self.n_samples)
        self.primal = np.inf
        self.n_sweeps = 0
        self.history: list[tuple[int, float]] = []

    def _spans(self) -> list[slice]:
        return list(blocks.spans(self.n_samples, self.width + self.coef.shape[0]))

    def _read(self, rows: slice | Int, dtype: Any = np.float64) -> NDArray[Any]:
        return blocks.read(self.features, rows, dtype, self.augment)

    def _norms(self) -> Float:
        norms = np.empty(self.n_samples)
        for span in self._spans():
            block = self._read(span, self.sweep_type)
            norms[span] = np.einsum("ij,ij->i", block, block)
        return norms

    def restart(self, support: Int, dual_rows: Float) -> None:
        """Take over dual rows, clipped to the bounds of this C by scaling a row that exceeds them."""
        own = dual_rows[np.arange(len(support)), self.labels[support]]
        scale = np.minimum(1.0, self.C / np.maximum(own, self.C))
        scale[~self.included[support]] = 0.0
        self.dual[support] = dual_rows * scale[:, None]
        self.coef = coef_of_support(self.features, support, self.dual[support], augment=self.augment)

    def sweep(self, n_sweeps: int) -> None:
        """Run sweeps of coordinate ascent, the first over all samples, the others over those that may change."""
        coef = self.coef.astype(self.sweep_type)
        active = self.included.copy()
        for _ in range(n_sweeps):
            spans = self._spans()
            for position in self.rng.permutation(len(spans)):
                span = spans[position]
                rows = np.flatnonzero(active[span])
                self.rng.shuffle(rows)
                block = self._read(span, self.sweep_type)
                kernels.ascend(block, self.labels[span], self.norms[span], self.C, rows, coef, self.dual[span])
            self.n_sweeps += 1
        support = np.flatnonzero(self.dual.any(axis=1))
        self.coef = coef_of_support(self.features, support, self.dual[support], augment=self.augment)

    def survey(self, dtype: Any) -> float:
        """Look at all samples; return the relative gap as far as the type can tell it."""
        coef = self.coef.astype(dtype)
        for span in self._spans():
            plain = self._read(span, dtype) @ coef.T
            kernels.survey(plain, self.labels[span], self.dual[span], self.C, self.slack[span], self.distance[span])
        self.slack[~self.included] = 0.0
        self.distance[~self.included] = np.inf
        own = float(self.dual[np.arange(self.n_samples), self.labels].sum())
        self.primal = objective.primal_value(self.coef, float(self.slack.sum()), self.C)
        gap = objective.relative_gap(self.primal, objective.dual_value(self.coef, own))
        self.history.append((self.n_sweeps, gap))
        if self.progress is not None:
            self.progress(self.n_sweeps, gap)
        return gap

    def climb(self, max_sweeps: int) -> tuple[Certificate, Float]:
        """Take proximal steps until the certificate is good and the face has settled."""
        step, reach = 10.0 * self.C, 0.5
        settled = 0
        while True:
            gap = self.survey(np.float64 if settled else self.sweep_type)
            if gap <= self.tol:
                settled += 1
            if settled > FINISHING or self.n_sweeps >= max_sweeps:
                return self._certify()
            work = self._working_set(reach)
            goal = 1e-3 * self.tol * self.primal
            coef = self.coef
            finished = False
            while not finished and self.n_sweeps < max_sweeps:
                coef, n_steps, finished = newton.proximal_step(work, coef, self.C, step, goal)
                self.n_sweeps += max(1, n_steps)
                if not finished:
                    step /= 8.0
                    settled += settled > 0
                    if settled > FINISHING:
                        break
            if finished:
                before = self.dual[work.index]
                self.coef, self.dual[work.index] = coef, work.dual
                if settled and np.array_equal(before < 0.0, work.dual < 0.0):
                    settled = FINISHING
                step *= 10.0 if n_steps <= 6 else 3.0

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

    def _working_set(self, reach: float) -> newton.WorkingSet:
        index = np.flatnonzero(self.distance < reach)
        features = self._read(index)
        dual = self.dual[index]
        return newton.WorkingSet(index, features, self.labels[index], dual, self.coef - dual.T @ features)
