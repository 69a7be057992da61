"""Tests of xda.data.geometry: against torchvision's own transforms."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from xda.data.geometry import crop_offset, resized_size, seen_region


@dataclass(frozen=True)
class Steps:
    size: tuple[int, int]
    resize: int | None


def test_resized_size_equals_torchvisions() -> None:
    originals = ((400, 300), (300, 401), (31, 500), (256, 256), (1023, 767), (640, 1))
    for original, shorter in itertools.product(originals, (224, 256, 33)):
        width, height = original
        resized = v2.functional.resize(torch.zeros(1, height, width), [shorter])
        assert resized_size(original, shorter) == (resized.shape[2], resized.shape[1]), (original, shorter)


def test_crop_offset_equals_torchvisions() -> None:
    for outer, inner in itertools.product(range(10, 32), (17, 20)):
        row = torch.arange(1, outer + 1)[None, None, :].expand(1, inner, outer)
        cropped = v2.functional.center_crop(row, [inner, inner])[0, 0]
        expected = torch.zeros(inner, dtype=torch.long)
        for place in range(inner):
            source = place + crop_offset(outer, inner)
            expected[place] = source + 1 if 0 <= source < outer else 0
        assert torch.equal(cropped, expected), (outer, inner)


@pytest.mark.parametrize("original", [(400, 300), (300, 400), (900, 250), (224, 224)])
def test_seen_region_is_where_the_inputs_pixels_come_from(original: tuple[int, int]) -> None:
    """A ramp tells each pixel's place in the original, also after torchvision has resized and cropped it."""
    width, height = original
    x, y = torch.meshgrid(torch.arange(width) + 0.5, torch.arange(height) + 0.5, indexing="xy")
    seen = v2.Compose([v2.Resize(256, antialias=True), v2.CenterCrop(224)])(torch.stack([x, y]))
    box = seen_region(original, Steps((224, 224), 256))
    columns = box.left + (np.arange(224) + 0.5) * box.width / 224
    rows = box.top + (np.arange(224) + 0.5) * box.height / 224
    inner = slice(4, 220)
    # the filter averages fewer pixels at the original's borders; elsewhere its phase shifts the result a little
    assert np.abs(seen[0, 112].numpy() - columns)[inner].max() < 0.2
    assert np.abs(seen[1, :, 112].numpy() - rows)[inner].max() < 0.2


def test_seen_region_without_a_crop_is_the_whole_original() -> None:
    box = seen_region((400, 300), Steps((32, 32), None))
    assert (box.left, box.top, box.width, box.height) == (0, 0, 400, 300)


def test_seen_region_of_a_padding_crop_reaches_beyond_the_original() -> None:
    box = seen_region((100, 100), Steps((224, 224), 200))
    assert (box.left, box.top, box.width, box.height) == (-6, -6, 112, 112)
