"""Copies of a training image: other images with the same label and the same features.

A surrogate determines only the sum of their dual rows. The copies share it arbitrarily; one of them may have zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST = 20
"""At most so many copies are named."""

_COMPARED = 1000
"""The features of at most so many images are read."""

ALIKE = 1e-5
"""Two computations of the same image may differ by so much, relative to the largest value."""


def copies_of(
    index: int, labels: NDArray[np.int64], logits: NDArray[np.float32], features: NDArray[np.float32]
) -> tuple[int, ...]:
    """Return the copies of a training image, ascending.

    Only the features of images with the same label and similar logits are read.

    Parameters
    ----------
    index : int
    labels : ndarray of int, shape (N,)
    logits : ndarray of float32, shape (N, K)
        The network's, possibly memory-mapped.
    features : ndarray of float32, shape (N, d)
        Possibly memory-mapped.

    Returns
    -------
    tuple of int
        At most `MOST`.
    """
    same = np.flatnonzero(labels == labels[index])
    same = same[same != index]
    same = same[_alike(np.asarray(logits[same]), np.asarray(logits[index]))][:_COMPARED]
    return tuple(same[_alike(np.asarray(features[same]), np.asarray(features[index]))][:MOST].tolist())


def _alike(rows: NDArray[np.float32], row: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which rows equal one row, up to rounding."""
    return np.asarray(np.abs(rows - row).max(axis=1, initial=0.0) <= ALIKE * np.abs(row).max(initial=0.0))
