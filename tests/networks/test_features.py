"""Tests of xda.networks.features and the batches under it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.bars import CPU, extract, make_split
from xda.data.dataset import ArraySource, ImageDataset, ImageSplit
from xda.errors import ConfigError, DataError
from xda.networks.batches import fitting_batch_size, index_batches
from xda.networks.features import extract_batches
from xda.networks.heads import split_head
from xda.networks.presets import get_preset
from xda.progress import silent

PREPROCESSING = get_preset("mnist-cnn").preprocessing


def test_extract_gives_the_networks_features_and_logits(network: nn.Module, bars: ImageDataset) -> None:
    told: list[tuple[str, int, int]] = []
    features, logits = extract(
        network, PREPROCESSING, bars.test, device=CPU, progress=lambda *args: told.append(args), batch_size=32
    )
    images = torch.from_numpy(PREPROCESSING.array(list(bars.test.all_encoded())))
    with torch.inference_mode():
        np.testing.assert_allclose(logits, network(images).numpy(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(features, split_head(network)[0](images).numpy(), rtol=1e-4, atol=1e-5)
    assert features.shape == (100, 100)
    assert logits.shape == (100, 10)
    assert features.dtype == logits.dtype == np.float32
    assert told == [("Features", done, 100) for done in (32, 64, 96, 100)]


def test_extract_puts_the_network_into_eval_mode(network: nn.Module, bars: ImageDataset) -> None:
    with_dropout = nn.Sequential(*list(network)[:-1], nn.Dropout(0.5), nn.Linear(100, 10)).train()  # type: ignore[call-overload]
    first, _ = extract(with_dropout, PREPROCESSING, bars.test, device=CPU, progress=silent)
    second, _ = extract(with_dropout, PREPROCESSING, bars.test, device=CPU, progress=silent)
    np.testing.assert_array_equal(first, second)


def test_extract_of_other_image_sizes_resizes_them(network: nn.Module) -> None:
    split = make_split(3, 0, size=(40, 40))
    features, _ = extract(network, PREPROCESSING, split, device=CPU, progress=silent)
    expected = split_head(network)[0](torch.from_numpy(PREPROCESSING.array(list(split.all_encoded()))))
    np.testing.assert_allclose(features, expected.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_extract_of_features_not_finite_names_the_image(bars: ImageDataset) -> None:
    class Overflowing(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            z = z.clone()
            self.seen = getattr(self, "seen", 0) + len(z)
            if self.seen > 68:  # two batches, and two images twice for the check of the head
                z[5, 0] = torch.inf
            return z

    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 8), Overflowing(), nn.Linear(8, 10))
    with pytest.raises(DataError, match="features of image 69 are not finite"):
        extract(network, PREPROCESSING, bars.test, device=CPU, progress=silent, batch_size=32)


def test_extract_batches_continues_from_any_image(network: nn.Module, bars: ImageDataset) -> None:
    told: list[tuple[str, int, int]] = []
    whole = extract(network, PREPROCESSING, bars.test, device=CPU, progress=silent, batch_size=32)
    batches = extract_batches(
        network,
        PREPROCESSING,
        bars.test,
        device=CPU,
        progress=lambda *args: told.append(args),
        batch_size=32,
        start=64,
    )
    features, logits = next(batches)
    assert told == []
    np.testing.assert_array_equal(features, whole[0][64:96])
    np.testing.assert_array_equal(logits, whole[1][64:96])
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    assert [len(features) for features, _ in batches] == [4]
    assert told == [("Features", done, 100) for done in (96, 100)]


@pytest.mark.parametrize(
    ("side", "device", "expected"), [(28, "cpu", 512), (224, "cpu", 10), (224, "cuda", 83), (4000, "cpu", 8)]
)
def test_batch_size_is_smaller_for_larger_images(side: int, device: str, expected: int) -> None:
    preprocessing = replace(PREPROCESSING, size=(side, side))
    assert fitting_batch_size(preprocessing, torch.device(device)) == expected


def test_extract_of_no_images_gives_no_rows(network: nn.Module) -> None:
    empty = ImageSplit(np.empty(0, dtype=np.int64), "", ArraySource(np.empty((0, 28, 28), dtype=np.uint8)))
    features, logits = extract(network, PREPROCESSING, empty, device=CPU, progress=silent)
    assert features.shape == (0, 100)
    assert logits.shape == (0, 10)


def test_extract_with_a_step_after_the_head_is_refused(network: nn.Module, bars: ImageDataset) -> None:
    scaled = nn.Sequential(network, nn.Sigmoid())
    with pytest.raises(ConfigError, match="after its last linear layer"):
        extract(scaled, PREPROCESSING, bars.test, device=CPU, progress=silent)


def test_extract_of_features_that_are_no_vector_is_refused(bars: ImageDataset) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(26, 10))
    with pytest.raises(ConfigError, match="one vector of 26 per image"):
        extract(network, PREPROCESSING, bars.test, device=CPU, progress=silent)


@pytest.mark.parametrize(("n", "size", "expected"), [(0, 4, []), (4, 4, [4]), (5, 4, [4, 1]), (3, 4, [3])])
def test_batches_of_positions_cover_every_image_once(n: int, size: int, expected: list[int]) -> None:
    batches = list(index_batches(n, size))
    assert [len(batch) for batch in batches] == expected
    assert [int(i) for batch in batches for i in batch] == list(range(n))
