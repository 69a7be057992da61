"""Slow twins of the rankings "for this image" and "effect of removal": dense, in float64, as method section 7 has them.

Each twin names what it replicates; ``tests/attribution/test_curvature.py`` holds that nothing is without one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from xda.attribution import active, curvature, removal
from xda.attribution.decomposition import Decomposition

Float = NDArray[np.floating]
Twin = TypeVar("Twin", bound=Callable[..., Any])

TWINS: dict[Any, Callable[..., Any]] = {}
"""By function or class."""


def replicates(*replicated: Any) -> Callable[[Twin], Twin]:
    """Note that a function is the slow twin of functions or classes."""

    def note(twin: Twin) -> Twin:
        TWINS.update(dict.fromkeys(replicated, twin))
        return twin

    return note


@replicates(active.active_samples, active.curvatures)
def curvatures(features: Float, labels: NDArray[np.int64], coef: Float, c: float, h: float) -> list[tuple[int, float]]:
    """Return (m_i, w_i) of every sample."""
    found = []
    for z, y in zip(features.tolist(), labels.tolist(), strict=True):
        scores = [sum(w * x for w, x in zip(row, z, strict=True)) for row in coef.tolist()]
        others = [m for m in range(len(scores)) if m != y]
        rival = max(others, key=scores.__getitem__)
        margin = scores[y] - scores[rival]
        found.append((rival, c / (4 * h * math.cosh((margin - 1) / (2 * h)) ** 2)))
    return found


@replicates(active.Directions)
def directions(features: Float, labels: NDArray[np.int64], rivals: list[int], n_classes: int) -> NDArray[np.float64]:
    """Return the matrix of all b_i = (e_y - e_m) x z_i, shape (N, K d)."""
    rows = []
    for z, y, m in zip(features, labels.tolist(), rivals, strict=True):
        e = np.zeros(n_classes)
        e[y], e[m] = 1, -1
        rows.append(np.kron(e, z))
    return np.array(rows)


@replicates(curvature.InClasses, curvature.InSamples, curvature.ByIteration)
def response(
    features: Float,
    labels: NDArray[np.int64],
    coef: Float,
    c: float,
    query: Float,
    target: int,
    against: int | None,
    h: float,
) -> NDArray[np.float64]:
    """Return u = H^-1 q with the whole of H, shape (K, d)."""
    rivals, weights = zip(*curvatures(features, labels, coef, c, h), strict=True)
    b = directions(features, labels, list(rivals), len(coef))
    hessian = np.eye(b.shape[1])
    for row, weight in zip(b, weights, strict=True):
        hessian += weight * np.outer(row, row)
    e = np.zeros(len(coef))
    e[target] = 1
    if against is not None:
        e[against] = -1
    return np.asarray(np.linalg.solve(hessian, np.kron(e, query)).reshape(len(coef), -1))


@replicates(removal.removal_effects, removal.summed)
def effects(dual_coef: Float, features: Float, u: Float) -> NDArray[np.float64]:
    """Return -sum_m alpha_i^m <z_i, u_m> of every training sample, shape (N,)."""
    n, n_classes = dual_coef.shape
    return np.array(
        [-sum(float(dual_coef[i, m]) * float(features[i] @ u[m]) for m in range(n_classes)) for i in range(n)]
    )


@replicates(Decomposition.ranked)
def specific(
    dual_coef: Float, features: Float, query: Float, mean: Float, c: int, e: int | None
) -> NDArray[np.float64]:
    """Return (alpha_i^c - alpha_i^e) <z_i, phi(x) - mean_c> of every training sample, shape (N,)."""
    found = []
    for alpha, z in zip(dual_coef, features, strict=True):
        weight = float(alpha[c]) - (0.0 if e is None else float(alpha[e]))
        found.append(weight * sum(float(a) * (float(b) - float(m)) for a, b, m in zip(z, query, mean, strict=True)))
    return np.array(found)
