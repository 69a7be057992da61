"""Decomposition of one decision into signed contributions of training samples (DualDA).

``tau_i(x, c) = alpha_i^c <z_i, phi(x)>`` with ``sum_i tau_i(x, c) = w_c . phi(x)``; for a contrast class e the
difference ``tau_i(x, c) - tau_i(x, e)`` (Yolcu et al., TMLR 2025, section 3). Everything is float64: the sums are part
of the product. Inner products come in from outside: they are computed where the support vectors live (the device).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import repeat
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from xda.attribution.contribution_tables import contribution_table, to_pandas
from xda.attribution.ranking import SIGNS, VALUE_NAMES, Rank, Ranking, Sign, rank
from xda.attribution.removal import RemovalEffects, summed
from xda.attribution.results import (
    ClassContribution,
    Contribution,
    Explanation,
    SourceLookup,
    Sparsity,
    TestSample,
)
from xda.attribution.sparsity import sparsity
from xda.attribution.support import SupportSet
from xda.decision import Decision

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from xda.attribution.index import AttributionIndex


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


class OtherRankings(Protocol):
    """Computes what the rankings ``image`` and ``removal`` need, when it is first asked for."""

    def differences(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return ``<z_i, phi(x) - mean_c>`` of support vectors, shape (m,)."""

    def baseline(self) -> float:
        """Return the logit (difference) of the mean features of the training images that the network calls c."""

    def effects(self) -> RemovalEffects:
        """Return the estimated effects of removing each support vector."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """Every training sample with a value in one ranking, strongest first by absolute value."""

    index: NDArray[np.int64]
    """Positions in the training set, shape (n,)."""
    value: NDArray[np.float64]
    """``tau_i``, ``specific_i`` or ``removal_effect_i``, shape (n,)."""
    position: NDArray[np.int64]
    """Positions within the support set, shape (n,)."""
    attribution: NDArray[np.float64]
    """``tau_i``, shape (n,); 0 for a sample that does not contribute to the sum."""
    intercept: NDArray[np.float64]
    """Part of ``attribution`` that is due to an augmented intercept, shape (n,)."""


@dataclass(frozen=True, eq=False)
class Decomposition:
    """All non-zero contributions to one decision, strongest first by absolute value.

    Every fact about a decision is a view of its decomposition. Attributions are computed once, on first use, and so are
    the values of the two other rankings (:mod:`xda.attribution.ranking`).
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
    others: OtherRankings | None = field(default=None, repr=False)
    """Computes the values of the rankings other than ``sum``."""

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

    # The other two rankings

    @cached_property
    def baseline_logit(self) -> float:
        """Logit (difference) of the average image that the network calls the target: ``w_c . mean_c``.

        The attributions of the ranking ``image`` sum to the logit less this.
        """
        return self._others.baseline()

    @cached_property
    def effects(self) -> RemovalEffects:
        """Estimated effect of removing each support vector on the logit (difference)."""
        return self._others.effects()

    def predicted_removal(self, removed: Sequence[int]) -> float:
        """Return the estimated change of the logit (difference) if some training samples are removed together.

        An estimate: the sum of their effects. A refit measures it (``measured_removal`` of an explainer).
        """
        return summed(self.effects, self.support, removed)

    @cached_property
    def _specific(self) -> NDArray[np.float64]:
        rows, weights = self._weighted
        return attributions(weights, self._others.differences(rows))

    @property
    def _others(self) -> OtherRankings:
        if self.others is None:
            raise ValueError("this decomposition was made for the ranking 'sum' alone")
        return self.others

    def _valued(self, by: Rank) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return positions within the support set, ascending, and their values in a ranking."""
        if by == "removal":
            return np.arange(len(self.support)), self.effects.values
        return self._weighted[0], self._values if by == "sum" else self._specific

    def by_class_in(self, by: Rank) -> tuple[ClassContribution, ...]:
        """Sum what a ranking sorts by, by the label of the training samples; ``supporting`` as in the ranking."""
        rows, values = self._valued(by)
        found = by_class(self.support.label[rows], -values if by == "removal" else values, self.support.n_classes)
        if by != "removal":
            return found
        return tuple(replace(each, supporting=-each.supporting, opposing=-each.opposing) for each in found)

    def _spread(self, values: NDArray[np.float64], position: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return values of the contributing support vectors at positions within the support set, 0 for all others."""
        found = np.zeros(len(self.support))
        found[self._weighted[0]] = values
        return np.asarray(found[position])

    def ranked(self, by: Rank = "sum") -> Ranked:
        """Return every training sample with a value in a ranking, strongest first.

        Parameters
        ----------
        by : {"sum", "image", "removal"}
            ``sum``: ``tau_i``; their sum is the logit (difference). ``image``: ``specific_i``; their sum is the logit
            less ``baseline_logit``. ``removal``: ``removal_effect_i``, an estimate; negative: the image supports the
            decision.
        """
        rows, values = self._valued(by)
        kept = np.flatnonzero(values)
        order = kept[np.argsort(-np.abs(values[kept]), kind="stable")]
        position = rows[order]
        return Ranked(
            self.support.index[position],
            values[order],
            position,
            self._spread(self._values, position),
            self._spread(self._weighted[1] * self.offset, position),
        )

    def explanation(
        self,
        limit: int | None = None,
        train_class: int | None = None,
        by: Rank = "sum",
        *,
        with_effects: bool = False,
    ) -> Explanation:
        """Return the strongest contributions of each sign.

        Parameters
        ----------
        limit : int, optional
            Contributions listed of each sign; default all.
        train_class : int, optional
            List only training samples with this label; the totals stay over all.
        by : {"sum", "image", "removal"}
            The ranking, as for ``ranked``. By ``removal``, samples with a negative effect are the supporting ones, and
            ``sum_supporting`` is negative: without all of them, one by one, the logit is estimated to fall by so much.
        with_effects : bool
            State ``removal_effect`` of the listed contributions in every ranking.
        """
        supporting, opposing = (self._ranking(sign, limit, train_class, by) for sign in SIGNS)
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
            supporting=self._listed(supporting, by, with_effects=with_effects),
            opposing=self._listed(opposing, by, with_effects=with_effects),
            intercept=self.logit_intercept,
            rank=by,
            baseline_logit=self.baseline_logit if by == "image" else None,
            removal_error=self.effects.response.error if by == "removal" else None,
        )

    def _ranking(self, sign: Sign, limit: int | None, train_class: int | None, by: Rank) -> Ranking:
        known = self.precomputed if by == "sum" else None
        if known is not None and limit is not None and limit <= known.per_sign and train_class is None:
            found = known.entry(self.decision.test, sign)
            return replace(found, position=found.position[:limit], attribution=found.attribution[:limit])
        rows, values = self._valued(by)
        listed = None if train_class is None else self.support.label[rows] == train_class
        sign_of_value = SIGNS[sign] if by != "removal" else -SIGNS[sign]
        return rank(rows, values, len(rows) if limit is None else limit, sign=sign_of_value, listed=listed)

    def _listed(self, ranking: Ranking, by: Rank, *, with_effects: bool) -> tuple[Contribution, ...]:
        position = ranking.position.astype(np.int64)
        found = self._shares(ranking, position, by)
        stated = {} if by == "sum" else {VALUE_NAMES[by]: ranking.attribution.tolist()}
        if with_effects:
            stated["removal_effect"] = self.effects.values[position].tolist()
        for name, values in stated.items():
            found = tuple(replace(each, **{name: value}) for each, value in zip(found, values, strict=True))
        return found

    def _shares(self, ranking: Ranking, position: NDArray[np.int64], by: Rank) -> tuple[Contribution, ...]:
        parts = self._spread(self._weighted[1] * self.offset, ranking.position) if self.offset else None
        if by == "sum":
            return contributions(self.support, ranking.position, ranking.attribution, parts, self.lookup)
        # Only of those listed, since the others' attributions are not needed here.
        shares = self._spread(self._weighted[1], position) * self.products(position)
        return contributions(self.support, ranking.position, shares, parts, self.lookup)

    def sources(self, index: NDArray[np.int64] | None = None) -> list[str | None]:
        """Return the sources of training images, by default of all in their order; None if they are unknown."""
        index = self.index if index is None else index
        return [None] * len(index) if self.lookup is None else list(self.lookup(index))

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


def self_influence(own_dual_coef: NDArray[np.float64], squared_norms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``s_i = alpha_i^{y_i} |z_i|^2`` (method section 2, self-influence), shape (n,)."""
    return own_dual_coef * squared_norms
