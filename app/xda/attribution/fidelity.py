"""How faithful a surrogate is to the network it stands for (method section 2, fidelity)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


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

    Returns
    -------
    confidence, margin : ndarray of float64, shape (n,)
    """
    top = np.sort(softmax(logits), axis=1)[:, -2:]
    return top[:, 1], top[:, 1] - top[:, 0]
