"""Fixtures of tests on data and networks: small images, a network, and the real MNIST if present."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from xda.data.dataset import ArraySource, ImageDataset, ImageSplit
from xda.data.known import mnist, registry
from xda.data.preprocessing import Preprocessing
from xda.networks.features import extract_batches, output_widths
from xda.networks.spec import NetworkSpec, build_network

CPU = torch.device("cpu")
# read before the tests take the developer's settings away
MNIST_HOME = Path(os.environ.get("XDA_HOME") or Path(__file__).parents[1]).absolute()


def make_split(n: int, seed: int, size: tuple[int, ...] = (28, 28), n_classes: int = 10) -> ImageSplit:
    """Return images of noise with a bright bar whose place is the label."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, n)
    images = rng.integers(0, 80, (n, *size)).astype(np.uint8)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[2 * label + 2 : 2 * label + 5] = 230
    digest = sha256(labels.tobytes() + images.tobytes()).hexdigest()
    return ImageSplit(labels=labels, fingerprint=digest, source=ArraySource(images))


@pytest.fixture(scope="session")
def bars() -> ImageDataset:
    """A data set that a network learns quickly: 400 + 100 images of the size of MNIST."""
    return ImageDataset("bars", "Bars", tuple("0123456789"), make_split(400, 1), make_split(100, 2))


@pytest.fixture
def network() -> nn.Module:
    """The paper's network for MNIST with random weights."""
    torch.manual_seed(0)
    return build_network(NetworkSpec("mnist-cnn", 10)).eval()


@pytest.fixture(scope="session")
def real_mnist() -> ImageDataset:
    """The real MNIST from ``$XDA_HOME/data`` or the repository's ``data``; tests download nothing."""
    folder = MNIST_HOME / "data"
    if not (folder / "mnist" / mnist.FILES[0].name).is_file():
        pytest.skip(f"MNIST is not in {folder}; `xda data mnist` brings it there")
    return registry.load("mnist", folder)


@pytest.fixture
def no_socket_timeout_left() -> Callable[[], None]:
    """Return a check that the default socket timeout is as it was."""
    import socket

    before = socket.getdefaulttimeout()

    def check() -> None:
        assert socket.getdefaulttimeout() == before

    return check


def extract(
    network: nn.Module, preprocessing: Preprocessing, split: ImageSplit, **options: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return features and logits of all images at once."""
    batches = list(extract_batches(network, preprocessing, split, **options))
    features, logits = (
        np.concatenate([np.empty((0, width), dtype=np.float32), *(batch[place] for batch in batches)])
        for place, width in enumerate(output_widths(network))
    )
    return features, logits
