"""Tests of xda.data.preprocessing."""

from __future__ import annotations

import io
import itertools
import json
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from tests.bars import make_split
from xda.data.preprocessing import Interpolation, Preprocessing
from xda.errors import ConfigError, DataError

GREY = Preprocessing(mode="L", size=(28, 28), mean=(0.1307,), std=(0.3081,))
COLOUR = Preprocessing(mode="RGB", size=(8, 12), mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def noise(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8))


def test_array_equals_torchvisions_transforms() -> None:
    image = noise(8, 12)
    expected = v2.Compose(
        [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(list(COLOUR.mean), list(COLOUR.std))]
    )(image)
    np.testing.assert_allclose(COLOUR.array([encode(image)])[0], expected.numpy(), rtol=1e-6, atol=1e-6)


def test_array_with_resize_and_crop_equals_torchvisions() -> None:
    shapes = ((8, 12), (9, 12), (40, 31), (31, 40), (200, 9))
    for shape, resize, interpolation in itertools.product(shapes, (8, 12, 13, 20), get_args(Interpolation)):
        image = noise(*shape)
        steps = v2.Compose([v2.Resize(resize, v2.InterpolationMode(interpolation)), v2.CenterCrop([8, 12])])
        expected = np.asarray(steps(image), dtype=np.float32) / 255
        plain = Preprocessing("RGB", (8, 12), (0.0,) * 3, (1.0,) * 3, resize, interpolation)
        actual = plain.array([encode(image)])[0]
        case = f"{shape} to {resize}, {interpolation}"
        np.testing.assert_allclose(actual, np.moveaxis(expected, -1, 0), atol=1e-6, err_msg=case)


def test_fits_with_resizing_is_false_unless_the_size_is_kept() -> None:
    pixels = np.zeros((1, 28, 28), dtype=np.uint8)
    assert replace(GREY, resize=28).fits(pixels)
    assert not replace(GREY, resize=32).fits(pixels)


def test_to_dict_with_old_defaults_leaves_them_out() -> None:
    assert set(COLOUR.to_dict()) == {"mode", "size", "mean", "std"}
    later = replace(COLOUR, resize=20, interpolation="bicubic")
    assert later.to_dict() == COLOUR.to_dict() | {"resize": 20, "interpolation": "bicubic"}
    assert Preprocessing.from_dict(later.to_dict()) == later


def test_describe_names_the_steps() -> None:
    assert GREY.describe() == "grey, to 28 × 28, bilinear, mean (0.1307), std (0.3081)"
    words = replace(COLOUR, resize=20).describe()
    assert words == "RGB, shorter side to 20, centre 8 × 12, bilinear, mean (0.1, 0.2, 0.3), std (0.5, 0.6, 0.7)"


def test_array_of_decoded_images_equals_that_of_their_files() -> None:
    split = make_split(5, 3)
    pixels = split.source.pixels(np.arange(5))
    assert pixels is not None
    assert GREY.fits(pixels)
    assert not COLOUR.fits(pixels)
    array = GREY.array(list(split.all_encoded()))
    assert array.shape == (5, 1, 28, 28)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(GREY.from_pixels(pixels), array)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("preprocessing", [GREY, COLOUR])
def test_array_of_every_kind_of_image_has_the_right_shape(mode: str, preprocessing: Preprocessing) -> None:
    kind = "TIFF" if mode == "CMYK" else "PNG"
    image = Image.new("I;16", (30, 20), 40000) if mode == "I;16" else noise(20, 30).convert(mode)
    array = preprocessing.array([encode(image, kind)])
    assert array.shape == (1, preprocessing.channels, *preprocessing.size)
    assert np.isfinite(array).all()


def test_array_of_sixteen_bit_grey_keeps_its_scale() -> None:
    array = GREY.array([encode(Image.new("I;16", (28, 28), 128 * 257))])
    np.testing.assert_allclose(array, (128 / 255 - 0.1307) / 0.3081, rtol=1e-6)


def test_array_of_a_rotated_photograph_is_upright() -> None:
    image = noise(8, 12)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = image.transpose(Image.Transpose.ROTATE_90)
    np.testing.assert_array_equal(COLOUR.array([encode(turned, exif=exif)]), COLOUR.array([encode(image)]))


@pytest.mark.parametrize("data", [b"", b"no image", encode(noise(20, 20))[:100]])
def test_array_of_undecodable_bytes_is_refused(data: bytes) -> None:
    with pytest.raises(DataError, match="use a PNG or JPEG"):
        COLOUR.array([data])


def test_array_of_no_images_is_empty() -> None:
    assert GREY.array([]).shape == (0, 1, 28, 28)


@pytest.mark.parametrize("preprocessing", [GREY, COLOUR])
def test_from_dict_of_json_restores_the_preprocessing(preprocessing: Preprocessing) -> None:
    assert Preprocessing.from_dict(json.loads(json.dumps(preprocessing.to_dict()))) == preprocessing


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "CMYK"},
        {"mean": [0.1, 0.2]},
        {"std": [0.0]},
        {"size": [0, 28]},
        {"size": [28]},
        {"size": None},
        {"mean": "dark"},
        {"resize": 0},
        {"resize": "big"},
        {"interpolation": "sinc"},
        {"interpolation": ["bilinear"]},
    ],
)
def test_preprocessing_of_unfit_values_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="preprocessing"):
        Preprocessing.from_dict(GREY.to_dict() | change)


def test_from_dict_without_a_value_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs mode, size, mean, std"):
        Preprocessing.from_dict({"mode": "L"})
