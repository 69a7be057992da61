"""A heat-map as signed numbers, which the browser colours: 16 bits a pixel, relative to the largest.

In goes a map of signed relevances; out come its scale of full colour and its largest magnitude as float32, and the
pixels row by row as int16, all little-endian: ``relevance = q / 32767 * largest``. Colours, common scale and opacity
then change without a request.
"""

from __future__ import annotations

import math
import struct

import numpy as np
from numpy.typing import NDArray

from xda.present.colour import full_scale

MEDIA_TYPE = "application/octet-stream"
FULL = 32767
"""The number of the largest relevance."""


def pack(relevance: NDArray[np.float32], scale: float | None = None) -> bytes:
    """Return a map as bytes.

    Parameters
    ----------
    relevance : ndarray of shape (H, W)
    scale : float, optional
        Magnitude of full colour. Default: :func:`~xda.present.colour.full_scale` of the map.

    Returns
    -------
    bytes
        8 + 2 H W of them; the error of a pixel is at most ``largest / 65534``.
    """
    largest = np.float32(np.abs(relevance).max(initial=0.0))
    shares = np.zeros(relevance.shape)
    if largest > 0 and math.isfinite(largest):
        shares = np.asarray(relevance, dtype=np.float64) / float(largest)
    full = full_scale(relevance) if scale is None else scale
    return struct.pack("<ff", full, largest) + np.rint(shares * FULL).astype("<i2").tobytes()


def unpack(content: bytes, columns: int) -> tuple[NDArray[np.float32], float]:
    """Return the map stored by :func:`pack` and its scale of full colour.

    Parameters
    ----------
    content : bytes
    columns : int
        Pixels of a row.

    Returns
    -------
    relevance : ndarray of float32, shape (H, W)
    scale : float
    """
    scale, largest = struct.unpack_from("<ff", content)
    numbers = np.frombuffer(content, "<i2", offset=8).reshape(-1, columns)
    return (numbers / FULL * largest).astype(np.float32), scale
