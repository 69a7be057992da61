"""Decomposition of one decision into signed contributions of training samples (DualDA).

``tau_i(x, c) = alpha_i^c <z_i, phi(x)>`` with ``sum_i tau_i(x, c) = w_c . phi(x)``; for a contrast class e the
difference ``tau_i(x, c) - tau_i(x, e)`` (Yolcu et al., TMLR 2025, section 3). Everything is float64: the sums are part
of the product. Inner products come in from outside: they are computed where the support vectors live (the device).
"""

from __future__ import annotations

from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from xda.attribution.results import ClassContribution, Contribution, Decomposition, SourceLookup, Sparsity
from xda.attribution.support import SupportSet

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
        # Everything up to and including the boundary value stays, so that ties are cut by position, not by chance.
        boundary = np.partition(magnitude, limit - 1)[limit - 1] if limit > 0 else -np.inf
        candidates = candidates[magnitude <= boundary]
        magnitude = -np.abs(values[candidates])
    order = np.argsort(magnitude, kind="stable")[:limit]
    return np.asarray(candidates[order], dtype=np.int64)


def decompose(
    support: SupportSet,
    rows: NDArray[np.int64],
    values: NDArray[np.float64],
    intercepts: NDArray[np.float64] | None = None,
    sources: SourceLookup | None = None,
) -> Decomposition:
    """Collect all non-zero contributions to one decision, strongest first.

    Parameters
    ----------
    support : SupportSet
    rows : ndarray of int64, shape (m,)
        Positions within the support set.
    values : ndarray of float64, shape (m,)
        Their attributions.
    intercepts : ndarray of float64, shape (m,), optional
        The intercept's part of each; default zeros.
    sources : callable, optional
        Gives where training images came from.

    Returns
    -------
    Decomposition
    """
    kept = np.flatnonzero(values)
    order = kept[np.argsort(-np.abs(values[kept]), kind="stable")]
    position = rows[order]
    return Decomposition(
        n_train=support.n_train,
        index=support.index[position],
        label=support.label[position],
        attribution=values[order],
        at_bound=support.at_bound[position],
        intercept=np.zeros(len(order)) if intercepts is None else intercepts[order],
        by_class=by_class(support.label[rows], values, support.n_classes),
        sparsity=sparsity(values, support.n_train),
        lookup=sources,
    )


def contributions(
    support: SupportSet,
    positions: NDArray[np.integer],
    values: NDArray[np.float64],
    intercepts: NDArray[np.float64] | None = None,
    sources: SourceLookup | None = None,
) -> tuple[Contribution, ...]:
    """Return contributions of support vectors as objects, in the given order; the last two as for ``decompose``."""
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
