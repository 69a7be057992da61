"""The support set of a surrogate from the arrays of a run, finished or still being built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from xda.attribution.support import SupportSet
from xda.services import layout


def read_support(
    read: Callable[[str], NDArray[Any]], c: float, train_labels: NDArray[np.int64], n_classes: int
) -> SupportSet:
    """Return the support set of one surrogate.

    Parameters
    ----------
    read : callable
        Returns an array of the run by its name.
    c : float
        Regularisation parameter of the surrogate.
    train_labels : ndarray of int64, shape (N,)
    n_classes : int
    """
    data, indices, indptr, index = (
        np.array(read(layout.surrogate(c, name)))
        for name in (layout.DUAL_DATA, layout.DUAL_INDICES, layout.DUAL_INDPTR, layout.SUPPORT)
    )
    return SupportSet(
        index=index,
        label=train_labels[index],
        dual_coef=sparse.csr_array((data, indices, indptr), shape=(len(index), n_classes)),
        c=c,
        n_train=len(train_labels),
    )
