"""Small fitted surrogates, on features like those of a network: not negative, with a large common mean."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from xda.attribution.active import ActiveSamples, Directions, active_samples, rows_of
from xda.attribution.support import SupportSet
from xda.surrogate import CrammerSingerSVC


@dataclass(frozen=True)
class Fitted:
    """A surrogate with its training set, the constant of an intercept included in the features."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    svc: CrammerSingerSVC

    @property
    def c(self) -> float:
        return float(self.svc.C)

    @property
    def augment(self) -> bool:
        return bool(self.svc.intercept == "augment")

    @cached_property
    def coef(self) -> NDArray[np.float64]:
        return np.column_stack([self.svc.coef_, self.svc.intercept_]) if self.augment else self.svc.coef_

    @cached_property
    def whole(self) -> NDArray[np.float64]:
        """Features with the constant 1 behind them where there is an intercept."""
        rows = self.features.astype(np.float64)
        return np.column_stack([rows, np.ones(len(rows))]) if self.augment else rows

    @cached_property
    def support(self) -> SupportSet:
        rows = self.svc.support_
        return SupportSet(rows, self.labels[rows], self.svc.dual_coef_[rows], self.c, len(self.labels))

    def products(self, rows: NDArray[np.int64] | None, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        index = self.support.index if rows is None else self.support.index[rows]
        return self.whole[index] @ vectors.T

    def active(self, width: float = 0.1) -> ActiveSamples:
        return active_samples(self.features, self.labels, self.coef, self.c, width=width)

    def directions(self, width: float = 0.1) -> Directions:
        active = self.active(width)
        return Directions(active, rows_of(self.features, active.index, self.augment), len(self.coef))


def make_fitted(
    c: float = 0.02, *, n: int = 90, d: int = 6, k: int = 4, intercept: str = "none", tol: float = 1e-10, seed: int = 0
) -> Fitted:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % k
    centres = rng.uniform(0, 2, size=(k, d))
    features = np.maximum(centres[labels] + rng.normal(scale=0.7, size=(n, d)) + 1.0, 0.0).astype(np.float32)
    svc = CrammerSingerSVC(C=c, tol=tol, intercept=intercept).fit(features, labels)
    return Fitted(features, labels, svc)
