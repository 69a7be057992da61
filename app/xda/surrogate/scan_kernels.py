"""Compiled passes over many samples: one matrix product for the scores of each block, then the quantities per sample.

A pass is one call: in a loop in Python each thread would wait for the interpreter's lock between the calls, and for
60,000 samples of 100 features that waiting took longer than all the arithmetic. scipy's BLAS library computes the
matrix product. Every kernel has a slow twin in ``tests/reference/crammer_singer.py`` or among the equations of
:mod:`xda.surrogate.objective`.
"""

# ruff: noqa: N803 - C is the name of the field
from __future__ import annotations

from typing import Any

import numba
import numpy as np

BLOCK_VALUES = 1 << 16
"""Features in one block, so that room is left in a core's cache."""

BLOCK_ROWS = 64
"""A block has at least so many rows of any width."""


@numba.njit(cache=True)
def _rows_of_block(n_features: int) -> int:
    return max(BLOCK_ROWS, BLOCK_VALUES // n_features)


@numba.njit(cache=True, nogil=True)
def survey_and_shortlist(
    features: Any, weights: Any, labels: Any, dual: Any, C: float, reach: Any, slack: Any, distance: Any, moved: Any,
    lists: Any, counts: Any,
) -> None:  # fmt: skip
    """Survey samples and list the entries of each row that a sweep should visit.

    Parameters
    ----------
    features : ndarray of shape (n, d)
    weights : ndarray of shape (d, K)
        Of the features' type.
    labels : ndarray of int, shape (n,)
    dual : ndarray of shape (n, K)
    C : float
    reach : ndarray of shape (n,)
        As of :func:`shortlist`.
    slack, distance : ndarray of shape (n,)
        As for :func:`survey`; overwritten.
    moved : ndarray of shape (n,)
        Overwritten with the change of the distances; -1 if a sample was or is in no corner.
    lists, counts : ndarray of int, shapes (n, s) and (n,)
        As of :func:`shortlist`; overwritten.
    """
    step = _rows_of_block(features.shape[1])
    scores = np.empty((step, weights.shape[1]), dtype=weights.dtype)
    for start in range(0, features.shape[0], step):
        stop = min(start + step, features.shape[0])
        part = scores[: stop - start]
        np.dot(features[start:stop], weights, part)
        moved[start:stop] = distance[start:stop]
        survey(part, labels[start:stop], dual[start:stop], C, slack[start:stop], distance[start:stop])
        for i in range(start, stop):
            change = abs(distance[i] - moved[i])
            moved[i] = change if np.isfinite(change) else -1.0
        shortlist(
            part, labels[start:stop], dual[start:stop], distance[start:stop], reach[start:stop],
            lists[start:stop], counts[start:stop],
        )  # fmt: skip


@numba.njit(cache=True, nogil=True)
def slacks_and_violations(
    features: Any, weights: Any, labels: Any, place: Any, dual: Any, C: float, slack: Any, violation: Any
) -> None:
    r"""Compute hinge loss and violation of the optimality conditions of each sample, in float64.

    The violation is :math:`\max_m G^m - \min_{m: \alpha^m < C [m = y]} G^m`, which for a zero row is its hinge loss.

    Parameters
    ----------
    features : ndarray of shape (n, d)
        In float32 or float64.
    weights : ndarray of shape (d, K)
        In float64.
    labels : ndarray of int, shape (n,)
    place : ndarray of int, shape (n,)
        Position in `dual` of each sample's row; -1 for a zero row.
    dual : ndarray of shape (n_support, K)
    C : float
    slack, violation : ndarray of shape (n,)
        Overwritten.
    """
    n_features, n_classes = weights.shape
    step = _rows_of_block(n_features)
    block = np.empty((step, n_features))
    scores = np.empty((step, n_classes))
    for start in range(0, features.shape[0], step):
        stop = min(start + step, features.shape[0])
        for i in range(start, stop):
            for j in range(n_features):
                block[i - start, j] = features[i, j]
        np.dot(block[: stop - start], weights, scores[: stop - start])
        for i in range(start, stop):
            augmented = scores[i - start]
            label = labels[i]
            top = -np.inf
            for m in range(n_classes):
                if m != label:
                    augmented[m] += 1.0
                top = max(top, augmented[m])
            slack[i] = top - augmented[label]
            lowest = augmented[label]
            if place[i] >= 0:
                row = dual[place[i]]
                lowest = np.inf
                for m in range(n_classes):
                    if row[m] < (C if m == label else 0.0):
                        lowest = min(lowest, augmented[m])
            violation[i] = top - lowest


@numba.njit(cache=True, inline="always")
def _highest(scores: Any) -> Any:
    """Return the highest of a row of scores; excluded entries are -inf, which costs a tenth of a condition."""
    highest = scores.dtype.type(-np.inf)
    for m in range(scores.shape[0]):
        value = scores[m]
        highest = value if value > highest else highest
    return highest


@numba.njit(cache=True, nogil=True)
def survey(scores: Any, labels: Any, dual: Any, C: float, slack: Any, distance: Any) -> None:
    r"""Compute for each row its slack, and the distance that the scores may move before it leaves its corner.

    A zero row stays optimal while its margin exceeds 1, a row (C at y, -C at m) while m has the highest augmented
    score. Any other row is free and has distance -inf; a negative distance of a corner is a violation.

    Parameters
    ----------
    scores : ndarray of shape (n, K)
        Plain scores w_m . z_i.
    labels : ndarray of int, shape (n,)
    dual : ndarray of shape (n, K)
    C : float
    slack, distance : ndarray of shape (n,)
        Overwritten.
    """
    nothing = scores.dtype.type(-np.inf)
    for i in range(scores.shape[0]):
        row, label = scores[i], labels[i]
        own = row[label]
        row[label] = nothing
        top = _highest(row) + 1.0
        slack[i] = max(0.0, top - own)
        if dual[i, label] == 0.0:
            distance[i] = own - top
        else:
            distance[i] = -np.inf
            if dual[i, label] == C:
                for m in range(row.shape[0]):
                    if dual[i, m] == -C:
                        holder = row[m]
                        row[m] = nothing
                        distance[i] = holder + 1.0 - max(own, _highest(row) + 1.0)
                        row[m] = holder
        row[label] = own


@numba.njit(cache=True, nogil=True)
def shortlist(scores: Any, labels: Any, dual: Any, distance: Any, reach: Any, lists: Any, counts: Any) -> None:
    r"""List the entries of each row that a sweep should visit.

    At the optimum an entry other than the own one is not zero only where its augmented score is the highest. So the
    list holds the label, the non-zero entries, and the classes within reach of the highest score, or the nearest of
    them if the room is too small. The best class is always listed, so that a row that is not optimal can move.
    Rows far from leaving their corner get no list.

    Parameters
    ----------
    scores : ndarray of shape (n, K)
        Plain scores w_m . z_i.
    labels : ndarray of int, shape (n,)
    dual : ndarray of shape (n, K)
    distance : ndarray of shape (n,)
        As of :func:`survey`.
    reach : ndarray of shape (n,)
        Scores may lie so far below the highest.
    lists, counts : ndarray of int, shapes (n, s) and (n,)
        Overwritten; a count of -1 stands for all classes.
    """
    n_classes = scores.shape[1]
    room = lists.shape[1]
    nothing = scores.dtype.type(-np.inf)
    chosen = np.empty(n_classes + 1, dtype=lists.dtype)
    for i in range(scores.shape[0]):
        counts[i] = -1
        if distance[i] > 4.0 * reach[i]:
            continue
        row, label = scores[i], labels[i]
        own = row[label]
        row[label] = nothing
        zero = dual[i, label] == 0.0
        top = _highest(row)
        near = reach[i]
        chosen[0] = label
        for _ in range(12):
            lowest = top - near
            count = 1
            # No branches: a processor could not foresee them.
            if zero:
                for m in range(n_classes):
                    chosen[count] = m
                    count += row[m] >= lowest
            else:
                for m in range(n_classes):
                    chosen[count] = m
                    count += (m != label) & ((row[m] >= lowest) | (dual[i, m] != 0.0))
            if count <= room:
                counts[i] = count
                for j in range(count):
                    lists[i, j] = chosen[j]
                break
            near *= 0.5
        row[label] = own
