"""Makes or reads the arrays of the rankings "for this image" and "effect of removal" at first use.

In: the training set as the surrogates see it, and arrays that the build may have stored. Out: for each decision the
object that its decomposition asks (``xda.attribution.decomposition.OtherRankings``). Safe to use from many threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from xda.attribution.class_means import class_means
from xda.attribution.curvature import ByIteration, Curvature, Response
from xda.attribution.preparation import curvature_of
from xda.attribution.removal import RemovalEffects, removal_effects
from xda.attribution.support import SupportSet
from xda.decision import Decision
from xda.errors import InvalidRequestError
from xda.networks.products import DeviceFeatures
from xda.progress import Progress, silent


@dataclass(frozen=True)
class TrainingSet:
    """The training samples as the surrogates of every C see them.

    Attributes
    ----------
    features : ndarray of float32, shape (N, d)
        May be memory-mapped.
    labels, predicted : ndarray of int64, shape (N,)
        Labels in the data set, and the network's predictions.
    classes : tuple of str
    stored_means : ndarray of float64, shape (K, d), optional
        As :func:`xda.attribution.class_means.class_means` returns them; computed when first asked for otherwise.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    classes: tuple[str, ...]
    stored_means: NDArray[np.float64] | None = None

    @cached_property
    def _means(self) -> NDArray[np.float64]:
        if self.stored_means is not None:
            return self.stored_means
        return class_means(self.features, self.predicted, len(self.classes))

    def mean(self, target: int) -> NDArray[np.float64]:
        """Return the mean features of the training samples that the network calls a class, shape (d,).

        Raises
        ------
        InvalidRequestError
            It calls none so.
        """
        if not (self.predicted == target).any():
            raise InvalidRequestError(
                f"The network calls no training image '{self.classes[target]}', so there is no average image of this "
                "class to compare with; choose another ranking or another target."
            )
        return np.asarray(self._means[target])


class Rankings:
    """The other rankings of one surrogate.

    Parameters
    ----------
    c : float
    coef : ndarray of float64, shape (K, d), or (K, d + 1) with an augmented intercept
    support : SupportSet
    features : DeviceFeatures
        Of the support vectors.
    training : TrainingSet
    stored : callable
        Returns the curvature that the build stored; None if there is none.
    """

    def __init__(
        self,
        c: float,
        coef: NDArray[np.float64],
        support: SupportSet,
        features: DeviceFeatures,
        training: TrainingSet,
        stored: Callable[[], Curvature | None],
    ) -> None:
        self.coef = coef
        self.support = support
        self.features = features
        self.training = training
        self._c = c
        self._stored = stored
        self._lock = Lock()
        self._curvature: Curvature | None = None

    def curvature(self, progress: Progress = silent) -> Curvature:
        """Return the inverted curvature: stored, or else computed once, which takes seconds."""
        with self._lock:
            if self._curvature is None:
                self._curvature = self._stored() or self._computed(progress)
            return self._curvature

    @property
    def at_hand(self) -> bool:
        """Whether effects of removal take only milliseconds: the inverse is stored, or computed already."""
        # Whoever asks does not wait for another caller's computation.
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self._curvature = self._curvature or self._stored()
            return self._curvature is not None and not isinstance(self._curvature, ByIteration)
        finally:
            self._lock.release()

    def of(self, decision: Decision, query: NDArray[np.floating]) -> DecisionRankings:
        """Return what the decomposition of a decision asks; the query's features have shape (d,)."""
        return DecisionRankings(self, decision, np.asarray(query, dtype=np.float64))

    def _computed(self, progress: Progress) -> Curvature:
        return curvature_of(self.training.features, self.training.labels, self.coef, self._c, progress)


@dataclass(frozen=True)
class DecisionRankings:
    """The other rankings of one decision."""

    rankings: Rankings
    decision: Decision
    query: NDArray[np.float64]

    def differences(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return ``<z_i, phi(x) - mean_c>`` of support vectors, shape (m,); an intercept cancels."""
        features = self.rankings.features
        mean = self.rankings.training.mean(self.decision.target)
        return features.products(rows, self.query - mean) - features.offset

    def baseline(self) -> float:
        """Return ``w_c . mean_c``, for a contrast ``(w_c - w_e) . mean_c``, with the intercept's part."""
        mean = self.rankings.training.mean(self.decision.target)
        weights = self.decision.contrast(self.rankings.coef)
        return float(weights[: len(mean)] @ mean + weights[len(mean) :].sum())

    def effects(self) -> RemovalEffects:
        """Return the estimated effects of removing each support vector."""
        return removal_effects(self.rankings.support, self._products, self.response())

    def response(self) -> Response:
        """Return the solution u from which the effects follow."""
        query = np.append(self.query, 1.0) if self.rankings.features.offset else self.query
        return self.rankings.curvature().solve(query, self.decision.target, self.decision.against)

    def _products(self, rows: NDArray[np.int64] | None, vectors: NDArray[np.float64]) -> NDArray[np.floating]:
        """Return inner products with vectors whose last value belongs to the constant of an intercept, if any."""
        features, d = self.rankings.features, len(self.query)
        if rows is None:
            found: NDArray[np.floating] = features.narrow_products(vectors[..., :d])
        else:
            found = features.products(rows, vectors[..., :d]) - features.offset
        return found + vectors[..., d] if features.offset else found
