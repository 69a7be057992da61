"""A small problem like a surrogate's: feasible dual rows of all patterns, random features and queries."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from xda.attribution.decomposition import Decomposition
from xda.attribution.results import TestSample
from xda.attribution.support import SupportSet
from xda.decision import Decision


@dataclass(frozen=True)
class Problem:
    """Dual rows of all samples, their features and labels, and queries."""

    dual_coef: NDArray[np.float64]
    features: NDArray[np.float32]
    queries: NDArray[np.float32]
    labels: NDArray[np.int64]
    support: SupportSet

    def products(self, rows: NDArray[np.int64], queries: NDArray[np.float32]) -> NDArray[np.float64]:
        chosen = self.features[self.support.index[rows]].astype(np.float64)
        return chosen @ queries.astype(np.float64).T

    def decompose(self, query: int, target: int, against: int | None = None) -> Decomposition:
        """Attribute the decision on one query vector."""
        products = partial(self.products, queries=self.queries[query])
        logits = self.dual_coef.T @ self.features.astype(np.float64) @ self.queries[query].astype(np.float64)
        test = TestSample(query, 1, target, (), tuple(logits.tolist()))
        return Decomposition(Decision(query, self.support.c, target, against), test, self.support, products)


def make_problem(seed: int = 0, n: int = 60, d: int = 7, k: int = 4, n_queries: int = 23, c: float = 0.5) -> Problem:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    dual = np.zeros((n, k))
    for i in np.flatnonzero(rng.random(n) < 0.6):
        own = c if rng.random() < 0.5 else rng.uniform(0.05, 0.95) * c
        others = np.flatnonzero((np.arange(k) != labels[i]) & (rng.random(k) < 0.6))
        if len(others) == 0:
            continue
        share = rng.random(len(others))
        dual[i, labels[i]] = own
        dual[i, others] = -own * share / share.sum()
    features = rng.normal(size=(n, d)).astype(np.float32)
    index = np.flatnonzero(dual.any(axis=1))
    support = SupportSet(index=index, label=labels[index], dual_coef=sparse.csr_array(dual[index]), c=c, n_train=n)
    return Problem(dual, features, rng.normal(size=(n_queries, d)).astype(np.float32), labels, support)
