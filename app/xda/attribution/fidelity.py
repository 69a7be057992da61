"""Fidelity of a surrogate to its network (method section 2, fidelity)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCK_VALUES = 1 << 20
"""Logits in one block: 8 MiB in float64."""


def agreement(surrogate_logits: NDArray[np.floating], network_logits: NDArray[np.floating]) -> float:
    """Return the share of samples on which surrogate and network predict the same class.

    Parameters
    ----------
    surrogate_logits, network_logits : ndarray, shape (n, n_classes)

    Returns
    -------
    float
        In [0, 1].
    """
    return float(np.mean(surrogate_logits.argmax(axis=1) == network_logits.argmax(axis=1)))


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return class probabilities of logits, shape (..., n_classes)."""
    shifted = np.exp(np.asarray(logits, dtype=np.float64) - np.max(logits, axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def confidence_and_margin(logits: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the softmax probability of the predicted class and its lead over the runner-up.

    Parameters
    ----------
    logits : ndarray, shape (n, n_classes)
        May be memory-mapped; read a block at a time.

    Returns
    -------
    confidence, margin : ndarray of float64, shape (n,)
    """
    confidence, margin = np.empty(len(logits)), np.empty(len(logits))
    step = max(1, BLOCK_VALUES // max(1, logits.shape[1]))
    for start in range(0, len(logits), step):
        part = slice(start, start + step)
        top = np.partition(softmax(logits[part]), -2, axis=1)[:, -2:]
        confidence[part], margin[part] = top[:, 1], top[:, 1] - top[:, 0]
    return confidence, margin
