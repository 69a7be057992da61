"""Tests of xda.data.dataset."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.bars import make_split
from xda.data.dataset import ArraySource


@pytest.mark.parametrize("size", [(28, 28), (9, 12, 3)])
def test_encoded_image_is_a_png_of_the_same_pixels(size: tuple[int, ...]) -> None:
    split = make_split(3, 0, size=size, n_classes=2)
    source = split.source
    assert isinstance(source, ArraySource)
    for i in range(3):
        data = split.encoded(i)
        assert data.startswith(b"\x89PNG")
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), source.array[i])
    assert list(split.all_encoded()) == [split.encoded(i) for i in range(3)]


@pytest.mark.parametrize("index", [-1, 3])
def test_encoded_image_out_of_range_is_an_error(index: int) -> None:
    with pytest.raises(IndexError):
        make_split(3, 0).encoded(index)
