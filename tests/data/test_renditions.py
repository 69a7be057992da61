"""Tests of xda.data.renditions."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.data.image_files import GOOD, encode, halves
from xda.data.decoding import decode
from xda.data.renditions import LONGEST, original_will_do, rendition


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8))


@pytest.mark.parametrize("name", GOOD)
def test_rendition_of_a_small_image_shows_it_as_decoded(name: str) -> None:
    data = GOOD[name]()
    shown = rendition(data, "thumb")
    np.testing.assert_array_equal(np.asarray(decode(shown)), np.asarray(decode(data)))
    assert original_will_do(shown, "thumb")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("size", [(3000, 2000), (200, 1999), (2500, 10)])
def test_rendition_of_a_large_image_is_bounded_and_keeps_its_aspect(kind: str, size: tuple[int, int]) -> None:
    data = encode(noise(*size), kind)
    for which in ("thumb", "view"):
        assert not original_will_do(data, which)
        shown = rendition(data, which)
        with Image.open(io.BytesIO(shown)) as image:
            assert max(image.size) == LONGEST[which]
            assert min(image.size) == max(1, round(min(size) * LONGEST[which] / max(size)))
            assert image.format in ("PNG", "JPEG")
        assert len(shown) < (30_000 if which == "thumb" else 600_000)


def test_original_will_do_refuses_too_many_bytes() -> None:
    data = encode(noise(160, 160))
    assert len(data) > 30_000
    assert not original_will_do(data, "thumb")
    assert original_will_do(data, "view")
    assert len(rendition(data, "thumb")) < 30_000


def test_original_will_do_refuses_transparency_and_rotation() -> None:
    assert original_will_do(encode(Image.fromarray(halves())), "thumb")
    for name in ("transparent.png", "transparent-palette.png", "rotated.jpg", "sixteen-bit.png", "animated.gif"):
        assert not original_will_do(GOOD[name](), "thumb")
    assert not original_will_do(b"no image", "thumb")
