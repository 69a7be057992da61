"""Problems for tests of the surrogate: one seeded generator of overlapping classes, like trained features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def overlapping(
    n_samples: int, n_features: int, n_classes: int, seed: int = 0, spread: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Non-negative features, as after a ReLU, around one centre per class; every class occurs."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n_samples) % n_classes).astype(np.int64)
    centres = rng.exponential(1.0, size=(n_classes, n_features))
    features = centres[labels] + spread * rng.normal(size=(n_samples, n_features))
    return np.maximum(features, 0.0), labels
