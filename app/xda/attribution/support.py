"""The support set: the part of a fitted surrogate that an attribution needs.

In: the arrays of a fitted surrogate. Out: for a target class (and a contrast class) the support vectors with a non-zero
dual coefficient and that coefficient. The set has no zero rows of alpha: this solution of the surrogate stays optimal
without their samples (method section 2).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from xda.decision import contrast

BOUND_RTOL = 1e-9
"""A dual variable within this relative distance of C counts as at its bound."""


@dataclass(frozen=True, slots=True)
class SupportSet:
    """Support vectors of one surrogate, in the order of the training set.

    Attributes
    ----------
    index : ndarray of int64, shape (n_support,)
        Position of each support vector in the training set, ascending.
    label : ndarray of int64, shape (n_support,)
        Its label.
    dual_coef : csr_array of float64, shape (n_support, n_classes)
        Its row of alpha; no row is empty.
    c : float
        Regularisation parameter, the bound of ``alpha_i^{y_i}``.
    n_train : int
        Number of training samples, support vectors or not.
    """

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    dual_coef: sparse.csr_array
    c: float
    n_train: int
    own_dual_coef: NDArray[np.float64] = field(init=False)
    """``alpha_i^{y_i}``, shape (n_support,)."""
    at_bound: NDArray[np.bool_] = field(init=False)
    """Whether ``alpha_i^{y_i} = C``, shape (n_support,)."""
    _columns: tuple[tuple[NDArray[np.int64], NDArray[np.float64]], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Derive the bound flags and the columns of alpha."""
        # without rows, SciPy returns a sparse array here
        own = np.asarray(self.dual_coef[np.arange(len(self)), self.label]).ravel() if len(self) else np.zeros(0)
        columns = self.dual_coef.tocsc()
        object.__setattr__(self, "own_dual_coef", own)
        object.__setattr__(self, "at_bound", own >= self.c * (1.0 - BOUND_RTOL))
        object.__setattr__(
            self,
            "_columns",
            tuple(
                (
                    columns.indices[columns.indptr[k] : columns.indptr[k + 1]].astype(np.int64),
                    columns.data[columns.indptr[k] : columns.indptr[k + 1]],
                )
                for k in range(columns.shape[1])
            ),
        )

    def __len__(self) -> int:
        """Return the number of support vectors."""
        return len(self.index)

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self._columns)

    def weights(self, target: int, against: int | None = None) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the support vectors that move a logit (difference), and their weights.

        Parameters
        ----------
        target : int
            Class c.
        against : int, optional
            Contrast class e: the weights are ``alpha_i^c - alpha_i^e`` (method section 2, contrast).

        Returns
        -------
        rows : ndarray of int64, shape (m,)
            Positions within the support set with a non-zero weight, ascending.
        weights : ndarray of float64, shape (m,)
        """
        if against is None:
            return self._columns[target]
        difference = contrast({k: self._column(k) for k in (target, against)}, target, against)
        nonzero = np.flatnonzero(difference)
        return nonzero, difference[nonzero]

    def _column(self, number: int) -> NDArray[np.float64]:
        column = np.zeros(len(self))
        rows, weights = self._columns[number]
        column[rows] = weights
        return column

    def row(self, train_index: int) -> NDArray[np.float64]:
        """Return the row of alpha of a training sample, shape (n_classes,): zeros if it is no support vector."""
        position = self.position(train_index)
        if position is None:
            return np.zeros(self.n_classes)
        return np.asarray(self.dual_coef[[position]].toarray()).ravel()

    def position(self, train_index: int) -> int | None:
        """Return the position of a training sample within the support set, or None if it is not in it."""
        position = int(np.searchsorted(self.index, train_index))
        return position if position < len(self.index) and self.index[position] == train_index else None
