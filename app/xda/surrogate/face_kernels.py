"""Compiled loops over the rows of a face and the directions in which they can move.

Every kernel is a pure loop over arrays and has a slow twin in the tests.
"""

# ruff: noqa: N803 - C is the name of the field
from __future__ import annotations

from typing import Any

import numba
import numpy as np

from xda.surrogate.kernels import add_scaled, dot


@numba.njit(cache=True)
def free_classes(dual: Any, labels: Any, C: float, free: Any) -> int:
    """Mark the entries of each row that the proximal map can move: the face of the row.

    An entry is free if it is off its bound; a row with fewer than two free entries cannot move, since it sums to zero.

    Parameters
    ----------
    dual : ndarray of shape (n, K)
    labels : ndarray of int, shape (n,)
    C : float
    free : ndarray of bool, shape (n, K)
        Overwritten.

    Returns
    -------
    int
        Degrees of freedom: sum over the rows of (free entries - 1).
    """
    freedom = 0
    for i in range(dual.shape[0]):
        count = 0
        for m in range(dual.shape[1]):
            if m == labels[i]:
                free[i, m] = 0.0 < dual[i, m] < C
            else:
                free[i, m] = dual[i, m] < 0.0
            count += free[i, m]
        if count < 2:
            for m in range(dual.shape[1]):
                free[i, m] = False
        else:
            freedom += count - 1
    return freedom


@numba.njit(cache=True)
def centre_rows(free: Any, values: Any) -> None:
    r"""Apply the Jacobian of the projection, :math:`J_i = \mathrm{diag}(1_A) - 1_A 1_A^\top / |A|`, to each row.

    Parameters
    ----------
    free : ndarray of bool, shape (n, K)
        The sets A.
    values : ndarray of shape (n, K)
        Overwritten.
    """
    for i in range(values.shape[0]):
        total = 0.0
        count = 0
        for m in range(values.shape[1]):
            if free[i, m]:
                total += values[i, m]
                count += 1
        mean = total / max(1, count)
        for m in range(values.shape[1]):
            values[i, m] = values[i, m] - mean if free[i, m] else 0.0


@numba.njit(cache=True, nogil=True)
def scores_of(features: Any, free: Any, start: int, stop: int, weights: Any, scores: Any) -> None:
    """Write the scores of the free entries of some rows, a few products each; a matrix product would compute all K.

    Parameters
    ----------
    features : ndarray of shape (n, d)
    free : ndarray of bool, shape (n, K)
    start, stop : int
        Rows to go through.
    weights : ndarray of shape (K, d)
    scores : ndarray of shape (n, K)
        Free entries overwritten.
    """
    for i in range(start, stop):
        for m in range(free.shape[1]):
            if free[i, m]:
                scores[i, m] = dot(weights[m], features[i])


@numba.njit(cache=True, nogil=True)
def add_weights(features: Any, free: Any, start: int, stop: int, dual: Any, weights: Any) -> None:
    """Add the contribution of the free entries of some rows to the weights.

    Parameters
    ----------
    features : ndarray of shape (n, d)
    free : ndarray of bool, shape (n, K)
    start, stop : int
        Rows to go through.
    dual : ndarray of shape (n, K)
    weights : ndarray of shape (K, d)
        Added to, in place.
    """
    for i in range(start, stop):
        for m in range(free.shape[1]):
            if free[i, m]:
                add_scaled(weights[m], dual[i, m], features[i])


@numba.njit(cache=True)
def basis_of(free: Any, basis: Any, owner: Any) -> None:
    """Write an orthonormal (Helmert) basis of the directions in which each row can move.

    Parameters
    ----------
    free : ndarray of bool, shape (n, K)
    basis : ndarray of shape (p, K)
        Overwritten; p as :func:`free_classes` returned.
    owner : ndarray of int, shape (p,)
        Overwritten with the row of each direction.
    """
    position = 0
    for i in range(free.shape[0]):
        count = 0
        for m in range(free.shape[1]):
            if not free[i, m]:
                continue
            if count > 0:
                scale = 1.0 / np.sqrt(count * (count + 1.0))
                for other in range(free.shape[1]):
                    basis[position, other] = scale if other < m and free[i, other] else 0.0
                basis[position, m] = -count * scale
                owner[position] = i
                position += 1
            count += 1


@numba.njit(cache=True)
def add_directions(basis: Any, owner: Any, values: Any, moved: Any) -> None:
    """Add to each row the sum of its directions times their values.

    Parameters
    ----------
    basis, owner : ndarray of shape (p, K) and (p,)
        As of :func:`basis_of`.
    values : ndarray of shape (p,)
    moved : ndarray of shape (n, K)
        Added to, in place.
    """
    for a in range(basis.shape[0]):
        for m in range(basis.shape[1]):
            moved[owner[a], m] += values[a] * basis[a, m]


@numba.njit(cache=True, nogil=True)
def scale_by_gram(gram: Any, place: Any, start: int, stop: int, matrix: Any) -> None:
    r"""Multiply entries :math:`b_a \cdot b_b` by :math:`z_i \cdot z_j` of the rows that own the two directions.

    Parameters
    ----------
    gram : ndarray of shape (m, m)
        Inner products of the features.
    place : ndarray of int, shape (p,)
        Position in `gram` of the row of each direction.
    start, stop : int
        Rows of `matrix` to go through.
    matrix : ndarray of shape (p, p)
        The lower triangle is overwritten; the rest is left as it is.
    """
    for a in range(start, stop):
        products = gram[place[a]]
        for b in range(a + 1):
            matrix[a, b] *= products[place[b]]
