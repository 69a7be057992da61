"""A heat-map as signed numbers, which the browser colours: 16 bits a pixel, relative to the map's scale.

In goes a map of signed relevances; out come its scale as float32 and the pixels row by row as int16, both
little-endian: ``relevance = q / 32767 * scale``. Colours, common scale and opacity then change without a request.
"""

from __future__ import annotations

import math
import struct

import numpy as np
from numpy.typing import NDArray

from xda.present.colour import full_scale

MEDIA_TYPE = "application/octet-stream"
FULL = 32767
"""The number of a pixel whose relevance is the scale."""


def pack(relevance: NDArray[np.float32], scale: float | None = None) -> bytes:
    """Return a map as bytes.

    Parameters
    ----------
    relevance : ndarray of shape (H, W)
    scale : float, optional
        Magnitude of full colour; larger magnitudes are cut to it. Default: the map's largest magnitude.

    Returns
    -------
    bytes
        4 + 2 H W of them; the error of a pixel is at most ``scale / 65534``.
    """
    full = np.float32(full_scale(relevance) if scale is None else scale)
    shares = np.zeros(relevance.shape)
    if full > 0 and math.isfinite(full):
        shares = np.clip(np.asarray(relevance, dtype=np.float64) / float(full), -1, 1)
    return struct.pack("<f", full) + np.rint(shares * FULL).astype("<i2").tobytes()


def unpack(content: bytes, columns: int) -> tuple[NDArray[np.float32], float]:
    """Return the map stored by :func:`pack` and its scale.

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
    scale = float(np.frombuffer(content, "<f4", 1)[0])
    numbers = np.frombuffer(content, "<i2", offset=4).reshape(-1, columns)
    return (numbers / FULL * scale).astype(np.float32), scale
