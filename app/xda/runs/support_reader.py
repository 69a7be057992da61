"""Reads the support set of a surrogate from the arrays of a finished or unfinished run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from xda.attribution.support import SupportSet
from xda.storage.run import layout


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

    Raises
    ------
    ValueError
        The arrays contradict each other.
    """
    data, indices, indptr, index = (
        np.array(read(layout.surrogate(c, array)))
        for array in (layout.DUAL_DATA, layout.DUAL_INDICES, layout.DUAL_INDPTR, layout.SUPPORT)
    )
    n_train = len(train_labels)
    if len(index) and not (index[0] >= 0 and index[-1] < n_train and (np.diff(index) > 0).all()):
        raise ValueError(f"its support vectors are not {len(index)} different ones of {n_train} training images")
    dual_coef = sparse.csr_array((data, indices, indptr), shape=(len(index), n_classes))
    # Without this check a wrong index would read memory outside of the arrays.
    dual_coef.check_format(full_check=True)
    return SupportSet(index=index, label=train_labels[index], dual_coef=dual_coef, c=c, n_train=n_train)
