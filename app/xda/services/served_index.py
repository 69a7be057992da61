"""Features of the support vectors as a tensor on the device, and the inner products computed from them.

The only place outside ``xda.vision`` that holds tensors: what goes in and comes out is numpy.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray


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
        self._features = torch.from_numpy(np.array(features, dtype=np.float32)).to(device)
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
        device = self._features.device
        chosen = self._features.index_select(0, torch.from_numpy(rows).to(device)).double()
        query = torch.from_numpy(np.array(queries, dtype=np.float64)).to(device)
        result: NDArray[np.float64] = (chosen @ query.movedim(-1, 0)).cpu().numpy()
        return result + self._offset if self._offset else result
