"""Batches of preprocessed images, as tensors on a device."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from xda.vision.images import ImageSplit
from xda.vision.preprocessing import Preprocessing


def load_batch(split: ImageSplit, indices: NDArray[np.int64], preprocessing: Preprocessing) -> torch.Tensor:
    """Return preprocessed images.

    Parameters
    ----------
    split : ImageSplit
    indices : NDArray[np.int64]
        Positions in the split, shape (B,).
    preprocessing : Preprocessing

    Returns
    -------
    torch.Tensor
        float32, shape (B, C, H, W), on the CPU.

    Raises
    ------
    DataError
        If an image cannot be decoded.
    """
    pixels = split.source.pixels(indices)
    if pixels is not None and preprocessing.fits(pixels):
        return torch.from_numpy(preprocessing.from_pixels(pixels))
    return torch.from_numpy(preprocessing.array([split.encoded(int(i)) for i in indices]))


def index_batches(n: int, batch_size: int) -> list[NDArray[np.int64]]:
    """Return the positions 0 .. n-1 in order, ``batch_size`` at a time."""
    return np.array_split(np.arange(n, dtype=np.int64), range(batch_size, n, batch_size)) if n else []
