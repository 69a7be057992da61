"""Decomposition of one decision into signed contributions of training samples (DualDA).

``tau_i(x, c) = alpha_i^c <z_i, phi(x)>`` with ``sum_i tau_i(x, c) = w_c . phi(x)``; for a contrast class e the
difference ``tau_i(x, c) - tau_i(x, e)`` (Yolcu et al., TMLR 2025, section 3). Everything is float64: the sums are part
of the product. Inner products come in from outside: they are computed where the support vectors live (the device).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import repeat
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from xda.attribution.contribution_tables import contribution_table, to_pandas
from xda.attribution.results import (
    ClassContribution,
    Contribution,
    Explanation,
    SourceLookup,
    Sparsity,
    TestSample,
)
from xda.attribution.support import SupportSet
from xda.decision import Decision

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from xda.attribution.index import AttributionIndex

Sign = Literal["supporting", "opposing"]
SIGNS: Mapping[Sign, int] = {"supporting": 1, "opposing": -1}

SPARSITY_EPSILON = 1e-6
"""Below this share of the largest absolute attribution a sample counts as zero (method section 2)."""


def attributions(weights: NDArray[np.float64], products: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``tau_i = alpha_i^c <z_i, phi(x)>``.

    Parameters
    ----------
    weights : ndarray of float64, shape (m,)
        Dual coefficients of the target (difference of two for a contrast).
    products : ndarray of float64, shape (m,) or (m, n_queries)
        Inner products of the same support vectors with the query features.

    Returns
    -------
    ndarray of float64, shape of ``products``
    """
    return weights * products if products.ndim == 1 else weights[:, None] * products


def strongest(values: NDArray[np.float64], limit: int, *, sign: int) -> NDArray[np.int64]:
    """Return the positions of the strongest values of one sign, strongest first; ties keep their order.

    Parameters
    ----------
    values : ndarray of float64, shape (m,)
    limit : int
        Largest number of positions returned.
    sign : {1, -1}
        Which sign to rank.

    Returns
    -------
    ndarray of int64, shape (<= limit,)
    """
    candidates = np.flatnonzero(values > 0 if sign > 0 else values < 0)
    magnitude = -np.abs(values[candidates])
    if limit < len(candidates):
        # Keep everything up to and including the boundary value, so that ties are cut by position, not by chance.
        boundary = np.partition(magnitude, limit - 1)[limit - 1] if limit > 0 else -np.inf
        candidates = candidates[magnitude <= boundary]
        magnitude = -np.abs(values[candidates])
    order = np.argsort(magnitude, kind="stable")[:limit]
    return np.asarray(candidates[order], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Ranking:
    """The strongest contributions of one sign, with the exact totals of that sign."""

    position: NDArray[np.integer]
    """Positions within the support set, strongest first."""
    attribution: NDArray[np.float64]
    """Their attributions."""
    total: float
    """Sum over all training samples of this sign."""
    count: int
    """Number of training samples of this sign."""


def rank(
    rows: NDArray[np.int64],
    values: NDArray[np.float64],
    limit: int,
    *,
    sign: int,
    listed: NDArray[np.bool_] | None = None,
) -> Ranking:
    """Rank the contributions of one sign.

    Parameters
    ----------
    rows : ndarray of int64, shape (m,)
        Positions within the support set.
    values : ndarray of float64, shape (m,)
        Their attributions.
    limit : int
        Largest number of contributions listed.
    sign : {1, -1}
    listed : ndarray of bool, shape (m,), optional
        Mask of the contributions that may be listed; the totals are over all.
    """
    top = strongest(values if listed is None else np.where(listed, values, 0.0), limit, sign=sign)
    of_sign = values[values > 0] if sign > 0 else values[values < 0]
    return Ranking(rows[top], values[top], float(of_sign.sum()), len(of_sign))


@dataclass(frozen=True, eq=False)
class Decomposition:
    """All non-zero contributions to one decision, strongest first by absolute value.

    Every fact about a decision is a view of its decomposition. Attributions are computed once, on first use.
    """

    decision: Decision
    test: TestSample
    """The test image, with the predictions of network and surrogate."""
    support: SupportSet
    products: Callable[[NDArray[np.int64]], NDArray[np.float64]] = field(repr=False)
    """Inner products of support vectors, by position, with the query, the constant of an intercept included."""
    offset: float = 0.0
    """The constant of the intercept: 1 with an augmented intercept, else 0."""
    logit_intercept: float = 0.0
    """Part of the logit (difference) that is due to an augmented intercept."""
    precomputed: AttributionIndex | None = None
    """Precomputed rankings of this decision, if there are any."""
    lookup: SourceLookup | None = None
    """Returns the sources of training images; None if they are unknown."""

    def __repr__(self) -> str:
        """Return a short line for notebooks; ``to_pandas`` shows the contributions."""
        return f"<Decomposition: {len(self.index):,} of {self.n_train:,} training images sum to {self.total:.5g}>"

    @cached_property
    def _weighted(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        return self.support.weights(self.decision.target, self.decision.against)

    @cached_property
    def _values(self) -> NDArray[np.float64]:
        rows, weights = self._weighted
        return attributions(weights, self.products(rows))

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        kept = np.flatnonzero(self._values)
        return kept[np.argsort(-np.abs(self._values[kept]), kind="stable")]

    @property
    def _position(self) -> NDArray[np.int64]:
        return self._weighted[0][self._order]

    @property
    def n_train(self) -> int:
        """Number of training samples, contributing or not."""
        return self.support.n_train

    @cached_property
    def index(self) -> NDArray[np.int64]:
        """Positions in the training set, shape (n,) with n the number of training samples that contribute."""
        return self.support.index[self._position]

    @cached_property
    def label(self) -> NDArray[np.int64]:
        """Labels in the data set, shape (n,)."""
        return self.support.label[self._position]

    @cached_property
    def attribution(self) -> NDArray[np.float64]:
        """Signed shares of the surrogate's logit (difference), shape (n,)."""
        return self._values[self._order]

    @cached_property
    def at_bound(self) -> NDArray[np.bool_]:
        """Whether the dual variable is at its bound C, shape (n,)."""
        return self.support.at_bound[self._position]

    @cached_property
    def intercept(self) -> NDArray[np.float64]:
        """Part of each contribution that is due to an augmented intercept, shape (n,); zeros without one."""
        return self._weighted[1][self._order] * self.offset if self.offset else np.zeros(len(self._order))

    @cached_property
    def by_class(self) -> tuple[ClassContribution, ...]:
        """Sums by the label of the training samples."""
        return by_class(self.support.label[self._weighted[0]], self._values, self.support.n_classes)

    @cached_property
    def sparsity(self) -> Sparsity:
        """The sparsity figures of this decision."""
        return sparsity(self._values, self.n_train)

    @property
    def total(self) -> float:
        """Sum of all contributions: the surrogate's logit (difference)."""
        return float(self.attribution.sum())

    def explanation(self, limit: int | None = None, train_class: int | None = None) -> Explanation:
        """Return the strongest contributions of each sign.

        Parameters
        ----------
        limit : int, optional
            Contributions listed of each sign; default all.
        train_class : int, optional
            List only training samples with this label; the totals stay over all.
        """
        supporting, opposing = (self._ranking(sign, limit, train_class) for sign in SIGNS)
        decision = self.decision
        return Explanation(
            c=decision.c,
            test=self.test,
            target=decision.target,
            against=decision.against,
            surrogate_logit=decision.contrast(self.test.surrogate_logits),
            sum_supporting=supporting.total,
            sum_opposing=opposing.total,
            n_supporting=supporting.count,
            n_opposing=opposing.count,
            n_train=self.n_train,
            supporting=self._listed(supporting),
            opposing=self._listed(opposing),
            intercept=self.logit_intercept,
        )

    def _ranking(self, sign: Sign, limit: int | None, train_class: int | None) -> Ranking:
        known = self.precomputed
        if known is not None and limit is not None and limit <= known.per_sign and train_class is None:
            found = known.entry(self.decision.test, sign)
            return replace(found, position=found.position[:limit], attribution=found.attribution[:limit])
        rows = self._weighted[0]
        listed = None if train_class is None else self.support.label[rows] == train_class
        return rank(rows, self._values, len(rows) if limit is None else limit, sign=SIGNS[sign], listed=listed)

    def _listed(self, ranking: Ranking) -> tuple[Contribution, ...]:
        parts = None
        if self.offset:
            rows, weights = self._weighted
            parts = weights[np.searchsorted(rows, ranking.position)] * self.offset
        return contributions(self.support, ranking.position, ranking.attribution, parts, self.lookup)

    def sources(self) -> list[str | None]:
        """Return the sources of the training images, in their order; None if they are unknown."""
        return [None] * len(self.index) if self.lookup is None else list(self.lookup(self.index))

    def to_arrow(self, classes: Sequence[str] | None = None) -> pa.Table:
        """Return all contributions as a table, strongest first; columns as in ``xda.attribution.contribution_tables``.

        Parameters
        ----------
        classes : sequence of str, optional
            Names of the classes; adds the column ``class``.
        """
        total = float(np.abs(self.attribution).sum())
        return contribution_table(
            self.index, self.label, self.attribution, self.at_bound, total, classes, self.intercept, self.sources()
        )

    def to_pandas(self, classes: Sequence[str] | None = None) -> pd.DataFrame:
        """Return ``to_arrow`` as a DataFrame; ConfigError if pandas is not installed."""
        return to_pandas(self.to_arrow(classes))


def contributions(
    support: SupportSet,
    positions: NDArray[np.integer],
    values: NDArray[np.float64],
    intercepts: NDArray[np.float64] | None = None,
    sources: SourceLookup | None = None,
) -> tuple[Contribution, ...]:
    """Return contributions of support vectors as objects, in the given order; the last two are optional."""
    parts = repeat(0.0) if intercepts is None else intercepts.tolist()
    index = support.index.take(positions)
    return tuple(
        map(
            Contribution,
            index.tolist(),
            support.label.take(positions).tolist(),
            values.tolist(),
            support.at_bound.take(positions).tolist(),
            parts,
            repeat(None) if sources is None else sources(index),
        )
    )


def by_class(labels: NDArray[np.int64], values: NDArray[np.float64], n_classes: int) -> tuple[ClassContribution, ...]:
    """Sum contributions by the label of the training sample.

    Parameters
    ----------
    labels : ndarray of int64, shape (m,)
    values : ndarray of float64, shape (m,)
    n_classes : int

    Returns
    -------
    tuple of ClassContribution
        One for each class that contributes, in the order of the classes.
    """
    positive, negative = values > 0, values < 0
    supporting = np.bincount(labels, weights=np.where(positive, values, 0.0), minlength=n_classes)
    opposing = np.bincount(labels, weights=np.where(negative, values, 0.0), minlength=n_classes)
    n_supporting = np.bincount(labels[positive], minlength=n_classes)
    n_opposing = np.bincount(labels[negative], minlength=n_classes)
    return tuple(
        ClassContribution(k, float(supporting[k]), float(opposing[k]), int(n_supporting[k]), int(n_opposing[k]))
        for k in np.flatnonzero(n_supporting + n_opposing).tolist()
    )


def sparsity(values: NDArray[np.float64], n_train: int) -> Sparsity:
    """Return the two sparsity figures of an explanation (method section 2).

    ``l0`` is the share of the N training samples with ``|tau_i| / max|tau| < 1e-6``;
    ``hoyer = (sqrt(N) - |tau|_1 / |tau|_2) / (sqrt(N) - 1)`` (Hoyer, JMLR 2004).

    Parameters
    ----------
    values : ndarray of float64, shape (m,)
        Attributions that may be non-zero; the other ``n_train - m`` are zero.
    n_train : int
        N.

    Returns
    -------
    Sparsity
        Both 1 for an explanation without any contribution.
    """
    magnitude = np.abs(values)
    largest = magnitude.max(initial=0.0)
    if largest == 0.0:
        return Sparsity(l0=1.0, hoyer=1.0)
    root = np.sqrt(n_train)
    ratio = magnitude.sum() / np.sqrt(np.square(magnitude / largest).sum()) / largest
    n_present = int(np.count_nonzero(magnitude / largest >= SPARSITY_EPSILON))
    return Sparsity(l0=1.0 - n_present / n_train, hoyer=float((root - ratio) / (root - 1.0)) if n_train > 1 else 0.0)


def self_influence(own_dual_coef: NDArray[np.float64], squared_norms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``s_i = alpha_i^{y_i} |z_i|^2`` (method section 2, self-influence), shape (n,)."""
    return own_dual_coef * squared_norms
