"""Computes inner products with the features of the support vectors, kept on the device.

Callers pass and get NumPy arrays. On the CPU all arithmetic is NumPy's, because a query takes only some ten thousand
multiplications, which a thread pool would slow down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray


class _Products(Protocol):
    def __call__(self, rows: NDArray[np.int64], queries: NDArray[np.float64]) -> NDArray[np.float64]: ...


_Narrow = Callable[[NDArray[np.float32]], NDArray[np.float32]]


BLOCK_VALUES, BLOCK_VALUES_OF_MANY = 1 << 16, 1 << 20
"""Features converted to float64 at a time: 0.5 MiB for one query, to fit a core's cache; 8 MiB for several."""

COPIED_BYTES = 1 << 26
"""Up to so many bytes of support vectors' features are copied out of a file, so that they lie close together; more stay
in the file's pages, which the system shares between processes and can reclaim."""


class DeviceFeatures:
    """Features of the support vectors, kept in float32 on the device; all arithmetic is float64.

    In float64, the sum of the attributions equals the surrogate's logit even if large contributions of both signs
    cancel.

    Parameters
    ----------
    features : ndarray of float32, shape (n_support, d), or (N, d) with ``index``
        Of the support vectors, or of all training samples, memory-mapped.
    device : torch.device
    offset : float
        Added to every inner product: 1 for a surrogate with an augmented intercept, else 0 (method section 2).
    index : ndarray of int64, shape (n_support,), optional
        Position of each support vector in ``features``.

    Attributes
    ----------
    offset : float
    """

    def __init__(
        self,
        features: NDArray[np.float32],
        device: torch.device,
        offset: float = 0.0,
        index: NDArray[np.int64] | None = None,
    ) -> None:
        on_cpu = device.type == "cpu"
        if index is not None and (not on_cpu or len(index) * features[:1].nbytes <= COPIED_BYTES):
            features, index = features[index], None
        own = np.asarray(features, dtype=np.float32)
        self._products: _Products
        self._narrow: _Narrow
        self._products, self._narrow = _on_cpu(own, index) if on_cpu else _on_device(own, device)
        self.offset = offset

    def products(self, rows: NDArray[np.int64], queries: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the inner products of some support vectors with one or several queries.

        Parameters
        ----------
        rows : ndarray of int64, shape (m,)
            Positions within the support set.
        queries : ndarray of float, shape (d,) or (n, d)

        Returns
        -------
        ndarray of float64, shape (m,) or (m, n)
        """
        result = self._products(rows, np.asarray(queries, dtype=np.float64))
        return result + self.offset if self.offset else result

    def narrow_products(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the inner products of all support vectors with several vectors, in float32: for estimates.

        It reads the features once and turns none into float64, so it takes half the time of ``products`` or less.

        Parameters
        ----------
        vectors : ndarray of float, shape (n, d)

        Returns
        -------
        ndarray of float32, shape (n_support, n)
            Without the offset.
        """
        return self._narrow(np.asarray(vectors, dtype=np.float32))


def _on_cpu(features: NDArray[np.float32], index: NDArray[np.int64] | None) -> tuple[_Products, _Narrow]:
    def products(rows: NDArray[np.int64], queries: NDArray[np.float64]) -> NDArray[np.float64]:
        if index is not None:
            rows = index[rows]
        values = BLOCK_VALUES if queries.ndim == 1 else BLOCK_VALUES_OF_MANY
        step = max(1, values // max(1, features.shape[1]))
        if len(rows) <= step:
            return np.asarray(features[rows].astype(np.float64) @ queries.T)
        result = np.empty((len(rows), *queries.shape[:-1]))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            np.matmul(features[rows[part]].astype(np.float64), queries.T, out=result[part])
        return result

    def narrow(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        n = len(features if index is None else index)
        step = max(1, BLOCK_VALUES_OF_MANY // max(1, features.shape[1]))
        result = np.empty((n, len(vectors)), dtype=np.float32)
        for start in range(0, n, step):
            part = slice(start, start + step)
            np.matmul(features[part if index is None else index[part]], vectors.T, out=result[part])
        return result

    return products, narrow


def _on_device(features: NDArray[np.float32], device: torch.device) -> tuple[_Products, _Narrow]:
    resident = torch.tensor(features, device=device)

    def products(rows: NDArray[np.int64], queries: NDArray[np.float64]) -> NDArray[np.float64]:
        chosen = resident.index_select(0, torch.from_numpy(rows).to(device)).double()
        found = chosen @ torch.from_numpy(queries).to(device).movedim(-1, 0)
        return np.asarray(found.cpu().numpy())

    def narrow(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray((resident @ torch.from_numpy(vectors).to(device).T).cpu().numpy())

    return products, narrow
