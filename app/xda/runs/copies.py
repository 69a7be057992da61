"""Copies of a training image: others with its label and its features, between which a surrogate cannot tell.

Only the sum of their dual rows is determined; how they share it is arbitrary, and a copy may have none of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST = 20
"""Copies named at most."""

_COMPARED = 1000
"""Images whose features are read at most."""

ALIKE = 1e-5
"""Difference relative to the largest value that two computations of the same image may make."""


def copies_of(
    index: int, labels: NDArray[np.int64], logits: NDArray[np.float32], features: NDArray[np.float32]
) -> tuple[int, ...]:
    """Return the copies of a training image, ascending.

    Few features are read: those of images whose label and logits are alike.

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
    """Tell which rows are equal to one, up to rounding."""
    return np.asarray(np.abs(rows - row).max(axis=1, initial=0.0) <= ALIKE * np.abs(row).max(initial=0.0))
