"""The colour scales: symmetric, linear in lightness, zero exactly white; and their PNGs are lossless."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from xda.present import colour
from xda.present.colour import Colours


def to_oklab(colour: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Convert one sRGB colour to OKLab, following the original publication step by step."""
    linear = []
    for level in colour.tolist():
        value = level / 255
        linear.append(value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)
    r, g, b = linear
    long = math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b)
    medium = math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b)
    short = math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b)
    return (
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    )


def simulate_deuteranopia(colour: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the colour as seen without M cones (Machado, Oliveira and Fernandes 2009, severity 1, linear RGB)."""
    value = colour / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    matrix = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    return np.asarray(np.clip(np.array(matrix) @ linear, 0, 1))


@pytest.mark.parametrize("colours", colour.COLOURS)
def test_palette_is_symmetric_and_linear_in_lightness(colours: Colours) -> None:
    table = colour.palette(colours)
    lightness = np.array([to_oklab(entry)[0] for entry in table])
    share = np.abs(np.arange(-127, 128)) / 127
    assert table.shape == (255, 3)
    assert table[colour.ZERO].tolist() == [255, 255, 255]
    np.testing.assert_allclose(lightness, 1 - share * (1 - lightness[0]), atol=0.004)
    np.testing.assert_allclose(lightness, lightness[::-1], atol=0.004)


@pytest.mark.parametrize("colours", colour.COLOURS)
def test_signs_stay_apart_without_green_cones(colours: Colours) -> None:
    table = colour.palette(colours)
    for magnitude in (32, 64, 127):
        support = simulate_deuteranopia(table[127 + magnitude])
        oppose = simulate_deuteranopia(table[127 - magnitude])
        # the sign shows in the order of the red and the blue channel, not only in a shade
        assert support[0] > support[2]
        assert oppose[2] > oppose[0]


@pytest.mark.parametrize("colours", colour.COLOURS)
def test_layer_over_white_is_the_opaque_map(colours: Colours) -> None:
    layer = colour.layer_palette(colours).astype(np.float64)
    alpha = layer[:, 3:] / 255
    over_white = alpha * layer[:, :3] + (1 - alpha) * 255
    np.testing.assert_allclose(over_white, colour.palette(colours), atol=0.5)
    assert layer[colour.ZERO, 3] == 0


def test_levels_follow_the_definition_value_by_value() -> None:
    relevance = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    scale = 1.5
    entries = colour.levels(relevance, scale)
    for row, column in np.ndindex(relevance.shape):
        share = max(-1.0, min(1.0, float(relevance[row, column]) / scale))
        assert entries[row, column] == 127 + round(share * 127)


def test_levels_of_opposite_maps_mirror_each_other() -> None:
    relevance = np.random.default_rng(1).normal(size=(9, 9)).astype(np.float32)
    np.testing.assert_array_equal(
        colour.levels(relevance, 2.0).astype(int) - 127, 127 - colour.levels(-relevance, 2.0).astype(int)
    )


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_levels_with_meaningless_scale_are_white(scale: float) -> None:
    assert (colour.levels(np.ones((2, 2), dtype=np.float32), scale) == colour.ZERO).all()


def test_full_scale_is_the_largest_magnitude_of_all_maps() -> None:
    assert colour.full_scale() == 0.0
    assert colour.full_scale(np.zeros((0, 3), dtype=np.float32)) == 0.0
    assert colour.full_scale(np.array([1.0], np.float32), np.array([[-3.0, 2.0]], np.float32)) == 3.0


@pytest.mark.parametrize("colours", colour.COLOURS)
def test_png_is_lossless(colours: Colours) -> None:
    relevance = np.linspace(-1, 1, 255, dtype=np.float32).reshape(15, 17)
    opaque = Image.open(io.BytesIO(colour.colorize(relevance, 1.0, colours, layer=False)))
    np.testing.assert_array_equal(np.asarray(opaque.convert("RGB")).reshape(-1, 3), colour.palette(colours))
    np.testing.assert_array_equal(colour.rgb(relevance, 1.0, colours), np.asarray(opaque.convert("RGB")))
    layer = Image.open(io.BytesIO(colour.colorize(relevance, 1.0, colours)))
    np.testing.assert_array_equal(np.asarray(layer.convert("RGBA")).reshape(-1, 4), colour.layer_palette(colours))


def test_zero_is_white_and_transparent_in_the_png() -> None:
    relevance = np.zeros((3, 4), dtype=np.float32)
    opaque = Image.open(io.BytesIO(colour.colorize(relevance, 0.0, layer=False))).convert("RGB")
    layer = Image.open(io.BytesIO(colour.colorize(relevance, 0.0))).convert("RGBA")
    assert opaque.getextrema() == ((255, 255),) * 3
    assert layer.getchannel("A").getextrema() == (0, 0)
