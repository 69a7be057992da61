"""The average image of each class as the network sees it: mean features of the training images that it calls the class.

It is the baseline of the ranking ``image`` (method section 7): why more, or less, c than the average c.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCK_VALUES = 1 << 20
"""Features turned into float64 at a time: 8 MiB."""


def class_means(features: NDArray[np.float32], predicted: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    """Return the mean features of the samples that the network calls each class, in one pass.

    Parameters
    ----------
    features : ndarray of float32, shape (N, d)
        Of the training samples; may be memory-mapped.
    predicted : ndarray of int64, shape (N,)
        The network's predictions.
    n_classes : int

    Returns
    -------
    ndarray of float64, shape (K, d)
        Zeros for a class that the network calls no sample.
    """
    n, d = features.shape
    sums, counts = np.zeros((n_classes, d)), np.bincount(predicted, minlength=n_classes)
    step = max(1, BLOCK_VALUES // max(1, d))
    for start in range(0, n, step):
        part = slice(start, min(n, start + step))
        block = np.asarray(features[part], dtype=np.float64)
        called = predicted[part]
        for number in np.unique(called).tolist():
            sums[number] += block[called == number].sum(axis=0)
    return np.asarray(sums / np.maximum(counts, 1)[:, None])
