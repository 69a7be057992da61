"""Prepares a surrogate for effects of removals: finds its active samples and inverts its curvature, with progress."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xda.attribution.active import active_samples
from xda.attribution.curvature import Curvature, choose
from xda.numerals import parameter
from xda.progress import Progress, silent


def curvature_of(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    coef: NDArray[np.float64],
    c: float,
    progress: Progress = silent,
) -> Curvature:
    """Return the inverted curvature of a surrogate.

    Parameters
    ----------
    features : ndarray of float32, shape (N, d)
        Of all training samples; may be memory-mapped.
    labels : ndarray of int64, shape (N,)
    coef : ndarray of float64, shape (K, d), or (K, d + 1) with an augmented intercept
    c : float
        Regularisation parameter.
    progress : Progress
        Told the hundredths of the work that are done.
    """
    stage = f"Effects of removal: C = {parameter(c)}"

    def found(done: int, total: int) -> None:
        progress(stage, min(99, 25 * done // total), 100)

    def inverted(done: int, total: int) -> None:
        progress(stage, min(99, 25 + 75 * done // total), 100)

    active = active_samples(features, labels, coef, c, report=found)
    augment = coef.shape[1] > features.shape[1]
    curvature = choose(active, features, len(coef), augment=augment, report=inverted)
    progress(stage, 100, 100)
    return curvature
