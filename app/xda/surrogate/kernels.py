r"""Compiled loops that change dual rows.

Only this module, :mod:`xda.surrogate.scan_kernels` and :mod:`xda.surrogate.face_kernels` use numba. Every kernel is a
pure loop over arrays and has a slow twin in ``tests/reference/crammer_singer.py``. They share one sub-problem, that of
a single dual row :math:`a` with all others fixed,

.. math:: \min_a \; \tfrac q2 \|a\|^2 + \langle B, a \rangle
          \quad\text{s.t.}\quad \sum_m a_m = 0,\; a_m \le C [m = y],

whose solution is :math:`a_m = \min(C [m = y], (\beta - B_m) / q)` (Crammer and Singer 2001, section 5; Keerthi et al.
2008, section 3). With :math:`D = B + q C e_y` the threshold solves :math:`\sum_m \max(0, D_m - \beta) = q C`, the
projection onto a simplex of radius :math:`q C`: only entries above :math:`\max D - q C` can take part. The row is zero
if and only if :math:`\max_{m \ne y} B_m \le B_y`, and then it is written as exact zeros.

Coordinate ascent uses it with :math:`q = \|z_i\|^2`; the proximal step with :math:`q = 1 / \sigma`.
"""

# ruff: noqa: N803 - C and X are the names of the field
from __future__ import annotations

from typing import Any

import numba
import numpy as np

_FAST = {"reassoc", "contract", "nsz"}


@numba.njit(cache=True, inline="always")
def _solve_row(linear: Any, label: int, q: float, C: float, row: Any) -> bool:
    """Solve the sub-problem; overwrite `row` with the solution and `linear`, B, with D. False: the row is zero."""
    n_classes = linear.shape[0]
    top = -np.inf
    best = -1
    for m in range(n_classes):
        if m != label and linear[m] > top:
            top = linear[m]
            best = m
    own = linear[label]
    if top <= own:
        for m in range(n_classes):
            row[m] = 0.0
        return False
    radius = q * C
    if top - own >= 2.0 * radius:
        # The own entry is at its bound; if no other class comes near, only the best one gets the opposite value.
        alone = True
        for m in range(n_classes):
            if m != label and m != best and linear[m] > top - radius:
                alone = False
                break
        if alone:
            for m in range(n_classes):
                row[m] = 0.0
            row[best] = -C
            row[label] = C
            return True
    # Shift everything by the highest entry: all active entries lie within the radius of it, so that small radii are
    # not lost against large scores.
    own -= top
    for m in range(n_classes):
        linear[m] -= top
    linear[label] = own + radius
    floor = max(0.0, linear[label]) - radius
    total = 0.0
    count = 0
    for m in range(n_classes):
        if linear[m] > floor:
            total += linear[m]
            count += 1
    threshold = (total - radius) / count if count > 0 else floor
    while True:
        total = 0.0
        kept = 0
        for m in range(n_classes):
            if linear[m] > floor and linear[m] > threshold:
                total += linear[m]
                kept += 1
        if kept >= count or kept == 0:
            break
        count = kept
        threshold = (total - radius) / count
    others = 0.0
    for m in range(n_classes):
        row[m] = 0.0
        if m != label and linear[m] > threshold:
            row[m] = (threshold - linear[m]) / q
            others += row[m]
    if linear[label] > threshold and -others < C:
        row[label] = -others
    elif others < 0.0:
        # At its bound. If rounding is coarse against the radius, the others may be far off: they are scaled to the
        # bound, which keeps their signs, and the largest of them absorbs the rounding error of the sum.
        scale = -C / others
        others = 0.0
        for m in range(n_classes):
            if m != label:
                row[m] *= scale
                others += row[m]
        row[label] = C
        row[best] -= others + C
    else:
        row[label] = C
        row[best] = -C
        others = -C
    return others < 0.0


@numba.njit(cache=True, fastmath=_FAST)
def dot(left: Any, right: Any) -> Any:
    """Return the inner product; reassociation lets the compiler use vector registers."""
    total = left.dtype.type(0)
    for j in range(left.shape[0]):
        total += left[j] * right[j]
    return total


@numba.njit(cache=True, fastmath=_FAST)
def add_scaled(target: Any, factor: Any, vector: Any) -> None:
    """Add `factor` times `vector` to `target`, in place."""
    for j in range(target.shape[0]):
        target[j] += factor * vector[j]


@numba.njit(cache=True, nogil=True)
def ascend(
    features: Any, labels: Any, norms: Any, C: float, order: Any, coef: Any, dual: Any, lists: Any, counts: Any,
    moved: Any,
) -> None:  # fmt: skip
    """Maximise the dual over listed entries of one row after the other (Keerthi et al. 2008, algorithm 3.1).

    Parameters
    ----------
    features : ndarray of shape (n, d)
    labels : ndarray of int, shape (n,)
    norms : ndarray of shape (n,)
        Squared norms of the features.
    C : float
    order : ndarray of int
        Rows to visit.
    coef : ndarray of shape (K, d)
        Weights, updated in place with every row.
    dual : ndarray of shape (n, K)
        Dual rows, updated in place.
    lists, counts : ndarray of int, shapes (n, s) and (n,)
        Entries of each row that may change, with its label and all non-zero entries; a negative count means all.
    moved : ndarray of bool, shape (n,)
        Whether each visited row changed.
    """
    n_classes = coef.shape[0]
    linear = np.empty(n_classes)
    row = np.empty(n_classes)
    everything = np.arange(n_classes, dtype=lists.dtype)
    for i in order:
        moved[i] = False
        label = labels[i]
        q = norms[i]
        sample = features[i]
        if q <= 0.0:
            # A zero feature: only the own entry raises the dual value, so the row goes to its bound.
            if dual[i, label] < C:
                for m in range(n_classes):
                    dual[i, m] = 0.0
                dual[i, label] = C
                dual[i, 1 if label == 0 else 0] = -C
                moved[i] = True
            continue
        # A change is small relative to the possible size of a row: 1 / q if the bound is far away.
        negligible = 1e-12 * min(C, 1.0 / q)
        chosen = everything if counts[i] < 0 else lists[i, : counts[i]]
        size = len(chosen)
        own = 0
        for j in range(size):
            m = chosen[j]
            linear[j] = dot(coef[m], sample) - q * dual[i, m] + 1.0
            if m == label:
                linear[j] -= 1.0
                own = j
        _solve_row(linear[:size], own, q, C, row)
        for j in range(size):
            m = chosen[j]
            step = row[j] - dual[i, m]
            if abs(step) > negligible:
                add_scaled(coef[m], features.dtype.type(step), sample)
                moved[i] = True
            dual[i, m] = row[j]


@numba.njit(cache=True, nogil=True)
def proximal_rows(scores: Any, labels: Any, centre: Any, inverse_step: float, C: float, dual: Any) -> None:
    r"""Minimise :math:`\langle G_i, a \rangle + \frac{1}{2\sigma} \|a - \bar a_i\|^2` over the feasible rows.

    Parameters
    ----------
    scores : ndarray of shape (n, K)
        Plain scores w_m . z_i, without the [m != y].
    labels : ndarray of int, shape (n,)
    centre : ndarray of shape (n, K)
        The rows the step starts from.
    inverse_step : float
        1 / sigma.
    C : float
    dual : ndarray of shape (n, K)
        Overwritten with the minimisers.
    """
    n_classes = scores.shape[1]
    linear = np.empty(n_classes)
    for i in range(scores.shape[0]):
        for m in range(n_classes):
            linear[m] = scores[i, m] - inverse_step * centre[i, m] + 1.0
        linear[labels[i]] -= 1.0
        _solve_row(linear, labels[i], inverse_step, C, dual[i])
