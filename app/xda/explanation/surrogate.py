"""One fitted surrogate that answers for any query features: attributions, ranked or whole, and logits.

In: what a fit gives (support set, weights, slacks) and the features of the support vectors. Out: the frozen types of
``xda.attribution.results``. Where the arrays come from, a run folder or a fit of a moment ago, does not matter here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from xda.attribution.decomposition import attributions, contributions, decompose, strongest
from xda.attribution.index import SIGNS
from xda.attribution.results import Contribution, Decomposition, SourceLookup
from xda.attribution.support import SupportSet
from xda.decision import contrast
from xda.networks.products import DeviceFeatures

REMEMBERED = 4
"""Decisions whose attributions are kept."""

QUERIES = 1 << 12
"""Queries looked at together."""


@dataclass(frozen=True)
class Ranked:
    """Ranked contributions with exact totals, before they are joined with what the test image is."""

    supporting: tuple[Contribution, ...]
    opposing: tuple[Contribution, ...]
    sum_supporting: float
    sum_opposing: float
    n_supporting: int
    n_opposing: int


class FittedSurrogate:
    """Answers for one C.

    Parameters
    ----------
    c : float
        Regularisation parameter.
    coef : ndarray of float64, shape (K, d) or (K, d + 1)
        W; with an augmented intercept its weights are the last column.
    support : SupportSet
    features : DeviceFeatures
        Features of the support vectors, in their order.
    slack : ndarray of float32, shape (N,)
        Hinge loss of every training sample.
    sources : callable, optional
        Gives where training samples came from.
    """

    def __init__(
        self,
        c: float,
        coef: NDArray[np.float64],
        support: SupportSet,
        features: DeviceFeatures,
        slack: NDArray[np.float32],
        sources: SourceLookup | None = None,
    ) -> None:
        self.c = c
        self.coef = coef
        self.support = support
        self.features = features
        self.slack = slack
        self.sources = sources
        # One page asks for the same decision up to three times.
        self._values_of_one = lru_cache(REMEMBERED)(self._of_one)

    @cached_property
    def _sorted_slack(self) -> NDArray[np.float32]:
        return np.sort(self.slack)

    def slack_rank(self, index: int) -> int:
        """Return the rank of a training sample by slack, 1 for the largest; equal slacks share the best rank."""
        return 1 + len(self.slack) - int(np.searchsorted(self._sorted_slack, self.slack[index], side="right"))

    def logits(self, queries: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the surrogate's logits of query features, (n, d) to (n, K), the intercept's share included."""
        d = queries.shape[1]
        return np.asarray(np.asarray(queries, dtype=np.float64) @ self.coef[:, :d].T + self.coef[:, d:].sum(axis=1))

    def values(
        self, queries: NDArray[np.float32], target: int, against: int | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return support vectors (positions) and their attributions to a decision.

        Parameters
        ----------
        queries : ndarray of float32, shape (d,) or (n, d)
        target, against : int
            As for ``SupportSet.weights``.

        Returns
        -------
        rows : ndarray of int64, shape (m,)
        values : ndarray of float64, shape (m,) or (m, n)
        """
        if queries.ndim == 1:
            return self._values_of_one(queries.tobytes(), queries.dtype, target, against)
        rows, weights = self.support.weights(target, against)
        return rows, attributions(weights, self.features.products(rows, queries))

    def _of_one(
        self, query: bytes, dtype: np.dtype[np.floating], target: int, against: int | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        rows, weights = self.support.weights(target, against)
        values = attributions(weights, self.features.products(rows, np.frombuffer(query, dtype)))
        values.flags.writeable = False
        return rows, values

    def influence(self, position: int, queries: NDArray[np.float32], targets: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the attributions of one support vector to many decisions, shape (n,).

        Parameters
        ----------
        position : int
            Within the support set.
        queries : ndarray of float32, shape (n, d)
            May be memory-mapped; only those are read whose class the support vector has to do with.
        targets : ndarray of int64, shape (n,)
            Class to explain for each query.
        """
        values = self.support.row(int(self.support.index[position]))[targets]
        moved = np.flatnonzero(values)
        rows = np.array([position], dtype=np.int64)
        for start in range(0, len(moved), QUERIES):
            part = moved[start : start + QUERIES]
            values[part] *= self.features.products(rows, queries[part])[0]
        return values

    def intercept(self, target: int, against: int | None) -> float:
        """Return the intercept's part of a logit (difference), which has no place in an image; 0 without one."""
        if not self.features.offset:
            return 0.0
        return float(contrast(self.coef[:, -1], target, against))

    def intercepts(self, rows: NDArray[np.integer], target: int, against: int | None) -> NDArray[np.float64] | None:
        """Return the intercept's part of attributions, ``alpha_i^c`` (method section 2); None without an intercept.

        Parameters
        ----------
        rows : ndarray of int, shape (m,)
            Positions within the support set, of support vectors that move the logit (difference).
        target, against : int
            As for ``SupportSet.weights``.
        """
        if not self.features.offset:
            return None
        known, weights = self.support.weights(target, against)
        return np.asarray(weights[np.searchsorted(known, rows)] * self.features.offset)

    def decompose(self, query: NDArray[np.float32], target: int, against: int | None) -> Decomposition:
        """Return all non-zero contributions to a decision."""
        rows, values = self.values(query, target, against)
        return decompose(self.support, rows, values, self.intercepts(rows, target, against), self.sources)

    def rank(
        self,
        query: NDArray[np.float32],
        target: int,
        against: int | None,
        limit: int | None,
        train_class: int | None = None,
    ) -> Ranked:
        """Rank contributions on demand.

        Parameters
        ----------
        query : ndarray of float32, shape (d,)
        target, against : int
            As for ``SupportSet.weights``.
        limit : int, optional
            Contributions listed of each sign; None: all.
        train_class : int, optional
            List only training images with this label; the totals stay over all.
        """
        rows, values = self.values(query, target, against)
        listed = np.where(self.support.label[rows] == train_class, values, 0.0) if train_class is not None else values
        tops = [strongest(listed, len(rows) if limit is None else limit, sign=factor) for _, factor in SIGNS]
        positive, negative = values[values > 0], values[values < 0]
        supporting, opposing = (
            contributions(
                self.support, rows[top], values[top], self.intercepts(rows[top], target, against), self.sources
            )
            for top in tops
        )
        return Ranked(
            supporting=supporting,
            opposing=opposing,
            sum_supporting=float(positive.sum()),
            sum_opposing=float(negative.sum()),
            n_supporting=len(positive),
            n_opposing=len(negative),
        )
