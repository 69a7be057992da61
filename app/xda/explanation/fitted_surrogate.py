"""A fitted surrogate: computes attributions and logits from the features of test images.

In: what a fit gives (support set, weights, slacks) and the features of the support vectors. Out: a ``Decomposition``.
:class:`FittedSurrogate` takes arrays from anywhere, :class:`ServedSurrogate` reads those of a run folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from xda.attribution.curvature import Curvature, restore
from xda.attribution.decomposition import Decomposition, attributions, self_influence
from xda.attribution.index import AttributionIndex
from xda.attribution.results import SourceLookup, TestSample
from xda.attribution.support import SupportSet
from xda.decision import Decision
from xda.errors import RunError
from xda.explanation.rankings import Rankings, TrainingSet
from xda.networks.products import DeviceFeatures
from xda.runs.ranking_arrays import read_removal
from xda.runs.support_reader import read_support
from xda.storage.run import layout
from xda.storage.run.folder import RunFolder

QUERIES = 1 << 12
"""Queries computed together."""
KEPT_RESPONSES = 4
"""Solutions kept for the heat-maps of a page, which are asked for one by one."""


class FittedSurrogate:
    """The surrogate of one C.

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
    training : TrainingSet
        Shared by the surrogates of every C.
    sources : callable, optional
        Returns the sources of training samples.

    Attributes
    ----------
    index : AttributionIndex or None
        Precomputed rankings for the class that the network predicts on each test image.
    rankings : Rankings
        The rankings other than ``sum``.
    """

    def __init__(
        self,
        c: float,
        coef: NDArray[np.float64],
        support: SupportSet,
        features: DeviceFeatures,
        slack: NDArray[np.float32],
        training: TrainingSet,
        sources: SourceLookup | None = None,
    ) -> None:
        self.c = c
        self.training = training
        self.coef = coef
        self.support = support
        self.features = features
        self.slack = slack
        self.sources = sources
        self.index: AttributionIndex | None = None
        self.rankings = Rankings(c, coef, support, features, training, self._stored_curvature)

    def _stored_curvature(self) -> Curvature | None:
        return None

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

    def values(self, queries: NDArray[np.float32], decision: Decision) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return support vectors (positions) and their attributions to one decision on each of several queries.

        Parameters
        ----------
        queries : ndarray of float32, shape (d,) or (n, d)
        decision : Decision
            Its classes count; the image is that of the query.

        Returns
        -------
        rows : ndarray of int64, shape (m,)
        values : ndarray of float64, shape (m,) or (m, n)
        """
        rows, weights = self.support.weights(decision.target, decision.against)
        return rows, attributions(weights, self.features.products(rows, queries))

    def influence(self, position: int, queries: NDArray[np.float32], targets: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the attributions of one support vector to many decisions, shape (n,).

        Parameters
        ----------
        position : int
            Within the support set.
        queries : ndarray of float32, shape (n, d)
            May be memory-mapped; only queries with a non-zero dual variable for their class are read.
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

    def self_influence(self, train_features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return ``alpha_i^{y_i} |z_i|^2`` of every training sample, shape (N,) (method section 2)."""
        support = self.support
        norms = np.square(train_features[support.index].astype(np.float64)).sum(axis=1) + self.features.offset
        found = np.zeros(support.n_train)
        found[support.index] = self_influence(support.own_dual_coef, norms)
        return found

    def decompose(self, decision: Decision, query: NDArray[np.float32], test: TestSample) -> Decomposition:
        """Attribute a decision.

        Parameters
        ----------
        decision : Decision
            Of this surrogate's C.
        query : ndarray of float32, shape (d,)
            phi of the test image.
        test : TestSample
            The test image, with this surrogate's logits.
        """
        indexed = decision.against is None and decision.target == test.predicted
        offset = self.features.offset
        return Decomposition(
            decision,
            test,
            self.support,
            partial(self.features.products, queries=query),
            offset,
            float(decision.contrast(self.coef[:, -1])) if offset else 0.0,
            self.index if indexed else None,
            self.sources,
            self.rankings.of(decision, query),
        )


def attribution_matrix(
    surrogate: Callable[[float], FittedSurrogate],
    decisions: Sequence[Decision],
    queries: NDArray[np.float32],
    n_train: int,
) -> sparse.csr_array:
    """Return all attributions to several decisions as a sparse matrix.

    Parameters
    ----------
    surrogate : callable
        Returns the surrogate of a C.
    decisions : sequence of Decision
        B decisions; those of the same C and classes are attributed at once.
    queries : ndarray of float32, shape (B, d)
        phi of their images.
    n_train : int

    Returns
    -------
    csr_array of float64, shape (B, n_train)
    """
    alike: dict[Decision, list[int]] = {}
    for row, decision in enumerate(decisions):
        alike.setdefault(replace(decision, test=0), []).append(row)
    nothing = np.empty(0, dtype=np.int64)
    rows, columns, values = [nothing], [nothing], [np.empty(0)]
    for decision, same in alike.items():
        answering = surrogate(decision.c)
        positions, tau = answering.values(queries[same], decision)
        rows.append(np.repeat(same, len(positions)))
        columns.append(np.tile(answering.support.index[positions], len(same)))
        values.append(tau.T.ravel())
    where = (np.concatenate(rows), np.concatenate(columns))
    return sparse.coo_array((np.concatenate(values), where), shape=(len(decisions), n_train)).tocsr()


class ServedSurrogate(FittedSurrogate):
    """The surrogate of one C of a run.

    Parameters
    ----------
    run : RunFolder
    c : float
        One of the run's regularisation parameters.
    training : TrainingSet
    device : torch.device
    sources : callable, optional
        Returns the sources of training images.

    Attributes
    ----------
    test_logits : ndarray of float64, shape (n_test, K)

    Raises
    ------
    RunError
        The run's arrays do not match each other.
    """

    def __init__(
        self,
        run: RunFolder,
        c: float,
        training: TrainingSet,
        device: torch.device,
        sources: SourceLookup | None = None,
    ) -> None:
        def array(spec: layout.ArraySpec) -> NDArray[np.generic]:
            return np.asarray(run.array(layout.surrogate(c, spec)))

        coef = np.asarray(array(layout.COEF), dtype=np.float64)
        try:
            support = read_support(run.array, c, training.labels, coef.shape[0])
        except ValueError as error:
            raise _damaged(run, c, error) from error
        features = DeviceFeatures(
            training.features,
            device,
            offset=layout.intercept_offset(run.manifest.intercept),
            index=support.index,
        )
        slack = np.asarray(array(layout.SLACK), dtype=np.float32)
        super().__init__(c, coef, support, features, slack, training, sources)
        self._run = run
        self._responses: dict[Decision, NDArray[np.float64]] = {}
        self.test_logits = np.asarray(array(layout.TEST_LOGITS), dtype=np.float64)
        self.index = AttributionIndex(
            {name: np.asarray(run.array(layout.index(c, name))) for name in layout.INDEX}, run.manifest.per_sign
        )
        try:
            self.index.check(len(support))
        except ValueError as error:
            raise _damaged(run, c, error) from error

    def response(self, decision: Decision, query: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the solution u of a decision's removal effects, shape (K, d) or (K, d + 1); the last few are kept."""
        if (known := self._responses.get(decision)) is None:
            known = self._responses[decision] = self.rankings.of(decision, query).response().u
            for old in list(self._responses)[:-KEPT_RESPONSES]:
                self._responses.pop(old, None)
        return known

    def _stored_curvature(self) -> Curvature | None:
        stored, training, augment = read_removal(self._run, self.c), self.training, bool(self.features.offset)
        try:
            return (
                restore(stored, training.features, training.labels, len(self.coef), augment=augment) if stored else None
            )
        except ValueError as error:
            raise _damaged(self._run, self.c, error) from error


def _damaged(run: RunFolder, c: float, error: ValueError) -> RunError:
    return RunError(
        f"{run.path}: the surrogate of C = {c:g} is damaged: {error}. Copy the run folder again or rebuild it with "
        "`xda build`."
    )
