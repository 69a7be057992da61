"""Tests of xda.networks.normalisation: it reports a normalisation only if the network was trained with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from tests.data.test_preprocessing import encode
from xda.data.preprocessing import Preprocessing
from xda.networks.normalisation import IMAGENET, better_normalisation

N, K, SIZE = 96, 4, 12
NONE = ((0.0,) * 3, (1.0,) * 3)
HALF = ((0.5,) * 3, (0.5,) * 3)
BYTES = ((0.0,) * 3, (1 / 255,) * 3)

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]


def preprocessing_with(normalisation: Normalisation) -> Preprocessing:
    mean, std = normalisation
    return Preprocessing("RGB", (SIZE, SIZE), mean, std)


def make_images(seed: int, *, noise: int = 60) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images of four brightnesses, each in its class, with noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(N) % K
    images = (30 + 40 * labels)[:, None, None, None] + rng.integers(0, noise, (N, SIZE, SIZE, 3))
    return images.astype(np.uint8), labels


def files_of(images: NDArray[np.uint8]) -> list[bytes]:
    return [encode(Image.fromarray(image)) for image in images]


def train(normalisation: Normalisation, seed: int, *, steps: int = 150) -> nn.Module:
    """Train a small network, which has no way to normalise by itself, on images with a normalisation."""
    torch.manual_seed(seed)
    first = nn.Conv2d(3, 8, 3)
    rest = (nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, K))
    network = nn.Sequential(first, *rest)
    images, labels = make_images(seed)
    x, y = torch.from_numpy(preprocessing_with(normalisation).from_pixels(images)), torch.from_numpy(labels)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        # scaled to spread one, so that all normalisations are learned alike; the first weights take over the factor
        loss = nn.functional.cross_entropy(network(x / x.std()), y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        first.weight.div_(x.std())
    return network


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("trained", "whose"),
    [
        (IMAGENET, "ImageNet's"),
        (HALF, "those that map pixels to -1 to 1"),
        (BYTES, "those that map pixels to 0 to 255"),
    ],
    ids=["ImageNet", "half", "bytes"],
)
def test_normalisation_of_the_training_is_found_where_none_is_given(
    trained: Normalisation, whose: str, seed: int
) -> None:
    network = train(trained, seed)
    images, labels = make_images(seed + 100)
    better = better_normalisation(network, preprocessing_with(NONE), None, files_of(images), labels)
    assert better is not None
    assert better.whose in (whose, "those of these images")
    assert better.n_right > 0.8 * N > 0.6 * N > better.n_right_before
    given = preprocessing_with((better.preprocessing.mean, better.preprocessing.std))
    with torch.no_grad():
        by_hand = [int(network(torch.from_numpy(given.array([file]))).argmax()) for file in files_of(images)]
    assert better.n_right == sum(a == b for a, b in zip(by_hand, labels.tolist(), strict=True))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("steps", [0, 20, 150], ids=["untrained", "badly", "well"])
def test_network_that_was_trained_without_normalisation_is_never_doubted(seed: int, steps: int) -> None:
    network = train(NONE, seed, steps=steps)
    images, labels = make_images(seed + 100)
    better = better_normalisation(network, preprocessing_with(NONE), None, files_of(images), labels)
    assert better is None


@pytest.mark.parametrize("seed", range(4))
def test_network_that_normalises_by_itself_is_never_doubted(seed: int) -> None:
    class Inside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = train(IMAGENET, seed)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in IMAGENET)
            scores: torch.Tensor = self.inner((x - mean) / std)
            return scores

    images, labels = make_images(seed + 100)
    assert better_normalisation(Inside(), preprocessing_with(NONE), None, files_of(images), labels) is None


def test_normalisation_that_is_given_is_not_doubted() -> None:
    images, labels = make_images(100)
    assert better_normalisation(train(HALF, 0), preprocessing_with(IMAGENET), None, files_of(images), labels) is None


def test_normalisation_of_the_models_makers_comes_first() -> None:
    own = ((0.4, 0.4, 0.4), (0.2, 0.2, 0.2))
    images, labels = make_images(100)
    better = better_normalisation(
        train(own, 0), preprocessing_with(NONE), preprocessing_with(own), files_of(images), labels
    )
    assert better is not None
    assert better.whose in ("those of the model's makers", "those of these images")


def test_normalisation_of_too_few_images_is_not_reported() -> None:
    images, labels = make_images(100)
    few = files_of(images)[:8]
    assert better_normalisation(train(HALF, 0), preprocessing_with(NONE), None, few, labels[:8]) is None
    assert better_normalisation(train(HALF, 0), preprocessing_with(NONE), None, [], labels[:0]) is None
