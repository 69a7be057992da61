"""Features of the support vectors where they are used, and the inner products computed from them.

The only place outside ``xda.vision`` that holds tensors: what goes in and comes out is numpy. On the CPU it is numpy
throughout, because one query is some ten thousand multiplications, which a thread pool would only slow down.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray


class _Products(Protocol):
    def __call__(self, rows: NDArray[np.int64], queries: NDArray[np.float64]) -> NDArray[np.float64]: ...


class DeviceFeatures:
    """Features of the support vectors, kept in float32 where they are used; all arithmetic is float64.

    float64 because the sum of the attributions must equal the surrogate's logit also where large contributions of both
    signs cancel.

    Parameters
    ----------
    features : ndarray of float32, shape (n_support, d)
    device : torch.device
    offset : float
        Added to every inner product: 1 for a surrogate with an augmented intercept, else 0 (method section 2).
    """

    def __init__(self, features: NDArray[np.float32], device: torch.device, offset: float = 0.0) -> None:
        own = np.array(features, dtype=np.float32)
        self._products: _Products = _on_cpu(own) if device.type == "cpu" else _on_device(own, device)
        self._offset = offset

    def products(self, rows: NDArray[np.int64], queries: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the inner products of some support vectors with one query or several.

        Parameters
        ----------
        rows : ndarray of int64, shape (m,)
            Positions within the support set.
        queries : ndarray of float32, shape (d,) or (n, d)

        Returns
        -------
        ndarray of float64, shape (m,) or (m, n)
        """
        result = self._products(rows, np.asarray(queries, dtype=np.float64))
        return result + self._offset if self._offset else result


def _on_cpu(features: NDArray[np.float32]) -> _Products:
    def products(rows: NDArray[np.int64], queries: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(features[rows].astype(np.float64) @ queries.T)

    return products


def _on_device(features: NDArray[np.float32], device: torch.device) -> _Products:
    resident = torch.from_numpy(features).to(device)

    def products(rows: NDArray[np.int64], queries: NDArray[np.float64]) -> NDArray[np.float64]:
        chosen = resident.index_select(0, torch.from_numpy(rows).to(device)).double()
        found = chosen @ torch.from_numpy(queries).to(device).movedim(-1, 0)
        return np.asarray(found.cpu().numpy())

    return products
