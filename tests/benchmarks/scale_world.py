"""A million synthetic images that need no storage: every image is computed from its number.

An image is the pattern of its class plus the sum of two entries of two banks of noise, whose lengths have no common
factor: 16 million different images from 8 MB. Classes overlap, and one label in a hundred is wrong.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from xda.data.dataset import ImageDataset, ImageSplit

SIDE = 16
N_FEATURES = 256
BANKS = (4093, 4099)
CONTRAST, NOISE = 20.0, 25.0
WRONG = 0.01


def patterns(n_classes: int) -> NDArray[np.float32]:
    """Return the pattern of each class, shape (K, 256)."""
    rng = np.random.default_rng(1)
    return (128.0 + CONTRAST * rng.standard_normal((n_classes, SIDE * SIDE))).astype(np.float32)


@dataclass(frozen=True, slots=True)
class ComputedImages:
    """An ``ImageSource``."""

    truth: NDArray[np.int64]
    patterns: NDArray[np.float32]
    banks: tuple[NDArray[np.float32], NDArray[np.float32]]
    first: int
    """Number of the first image; no two splits share one."""

    def pixels(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return images, shape (n, 16, 16)."""
        number = indices + self.first
        flat = self.patterns[self.truth[indices]].copy()
        for bank in self.banks:
            flat += bank[number % len(bank)]
        return np.clip(np.rint(flat), 0, 255).astype(np.uint8).reshape(-1, SIDE, SIDE)

    def origin(self, index: int) -> str:
        """Return a path like those of a large data set of files."""
        return f"images/class-{int(self.truth[index]):04d}/{index + self.first:08d}.png"

    def encoded(self, index: int) -> bytes:
        """Return an image as PNG."""
        buffer = io.BytesIO()
        Image.fromarray(self.pixels(np.array([index]))[0]).save(buffer, format="PNG", compress_level=1)
        return buffer.getvalue()


def make_dataset(n_train: int, n_test: int, n_classes: int) -> ImageDataset:
    """Return the data set."""
    rng = np.random.default_rng(0)
    banks = tuple(NOISE * rng.standard_normal((size, SIDE * SIDE), dtype=np.float32) for size in BANKS)
    pattern = patterns(n_classes)

    def split(n: int, first: int, wrong: float) -> ImageSplit:
        truth = rng.integers(0, n_classes, n)
        labels = np.where(rng.random(n) < wrong, rng.integers(0, n_classes, n), truth)
        labels[:n_classes] = np.arange(n_classes)
        source = ComputedImages(truth, pattern, (banks[0], banks[1]), first)
        return ImageSplit(labels, f"{n}-{first}-{n_classes}".encode().hex().rjust(64, "0"), source)

    return ImageDataset(
        name="synthetic",
        title=f"{n_train:,} computed images",
        classes=tuple(f"class {k}" for k in range(n_classes)),
        train=split(n_train, 0, WRONG),
        test=split(n_test, n_train, 0.0),
    )


def network(n_classes: int) -> nn.Module:
    """Return a classifier with d = 256: a random layer, and the classes' own features as the head."""
    generator = torch.Generator().manual_seed(0)
    hidden = nn.Linear(SIDE * SIDE, N_FEATURES, bias=False)
    head = nn.Linear(N_FEATURES, n_classes)
    with torch.no_grad():
        hidden.weight.copy_(torch.randn(hidden.weight.shape, generator=generator) / SIDE)
        means = torch.relu(hidden(4.0 * (torch.from_numpy(patterns(n_classes)) / 255.0 - 0.5)))
        # Noise adds to every rectified feature; without their common mean, the classes' differences remain.
        centred = means - means.mean(dim=0)
        head.weight.copy_(20.0 * centred)
        head.bias.copy_(-10.0 * (means.square() - means.mean(dim=0).square()).sum(dim=1))
    return nn.Sequential(nn.Flatten(), hidden, nn.ReLU(), head)
