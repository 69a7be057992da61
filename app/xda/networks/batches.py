"""Batches of preprocessed images, as tensors on a device."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from xda.data.dataset import ImageSplit
from xda.data.preprocessing import Preprocessing

PIXELS, PIXELS_ON_DEVICE = 1 << 19, 1 << 22
"""Pixels of one batch on the CPU, where larger batches are no faster, and on a GPU."""

SMALLEST_BATCH, LARGEST_BATCH = 8, 512


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


def index_batches(n: int, batch_size: int, start: int = 0) -> Iterator[NDArray[np.int64]]:
    """Yield the positions ``start`` .. n-1 in order, ``batch_size`` at a time."""
    for first in range(start, n, batch_size):
        yield np.arange(first, min(n, first + batch_size), dtype=np.int64)


def fitting_batch_size(preprocessing: Preprocessing, device: torch.device) -> int:
    """Return how many images may pass through a network at a time; fewer if they are larger.

    A network's activations take about a hundred times as much memory as its input, so pixels decide.
    """
    height, width = preprocessing.size
    pixels = PIXELS if device.type == "cpu" else PIXELS_ON_DEVICE
    return max(SMALLEST_BATCH, min(LARGEST_BATCH, pixels // (height * width)))
