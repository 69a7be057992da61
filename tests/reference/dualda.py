"""DualDA the slow way: loops that follow method section 2 word for word, dense and over all training samples."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.floating]


def attribution(dual_coef: Float, features: Float, query: Float, i: int, c: int, e: int | None = None) -> float:
    """Return tau_i(x, c), or tau_i(x, c) - tau_i(x, e)."""
    product = 0.0
    for k in range(len(query)):
        product += float(features[i, k]) * float(query[k])
    tau = float(dual_coef[i, c]) * product
    return tau if e is None else tau - float(dual_coef[i, e]) * product


def attributions(dual_coef: Float, features: Float, query: Float, c: int, e: int | None = None) -> NDArray[np.float64]:
    """Return all of them, shape (N,)."""
    return np.array([attribution(dual_coef, features, query, i, c, e) for i in range(len(features))])


def dense_attributions(dual_coef: Float, features: Float, queries: Float, classes: NDArray[np.int64]) -> Float:
    """Return the attributions as the published code does: the (batch, N, K) product, then one class gathered."""
    products = queries @ features.T
    full = products[:, :, None] * dual_coef[None, :, :]
    return np.asarray(np.take_along_axis(full, classes[:, None, None], axis=2)[:, :, 0])


def sparsity(tau: Float) -> tuple[float, float]:
    """Return l0 and Hoyer of a dense vector of attributions."""
    n = len(tau)
    largest = max(abs(t) for t in tau)
    l0 = sum(abs(t) / largest < 1e-6 for t in tau) / n
    l1, l2 = sum(abs(t) for t in tau), math.sqrt(sum(t * t for t in tau))
    return l0, (math.sqrt(n) - l1 / l2) / (math.sqrt(n) - 1)
