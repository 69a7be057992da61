"""How sparse an explanation is: two figures of its attributions (method section 2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xda.attribution.results import Sparsity

SPARSITY_EPSILON = 1e-6
"""Below this share of the largest absolute attribution a sample counts as zero (method section 2)."""


def sparsity(values: NDArray[np.float64], n_train: int) -> Sparsity:
    """Return the two sparsity figures of an explanation (method section 2).

    ``l0`` is the share of the N training samples with ``|tau_i| / max|tau| < 1e-6``;
    ``hoyer = (sqrt(N) - |tau|_1 / |tau|_2) / (sqrt(N) - 1)`` (Hoyer, JMLR 2004).

    Parameters
    ----------
    values : ndarray of float64, shape (m,)
        Attributions that may be non-zero; the other ``n_train - m`` are zero.
    n_train : int
        N.

    Returns
    -------
    Sparsity
        Both 1 for an explanation without any contribution.
    """
    magnitude = np.abs(values)
    largest = magnitude.max(initial=0.0)
    if largest == 0.0:
        return Sparsity(l0=1.0, hoyer=1.0)
    root = np.sqrt(n_train)
    ratio = magnitude.sum() / np.sqrt(np.square(magnitude / largest).sum()) / largest
    n_present = int(np.count_nonzero(magnitude / largest >= SPARSITY_EPSILON))
    return Sparsity(l0=1.0 - n_present / n_train, hoyer=float((root - ratio) / (root - 1.0)) if n_train > 1 else 0.0)
