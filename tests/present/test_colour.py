"""The colours of the layers: one hue for each sign, opacity by strength, nothing at zero; their PNGs are lossless."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from xda.present import colour
from xda.present.colour import Colours
from xda.settings import resource_dir


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


def opacity_of(relevance: float, scale: float) -> float:
    """Follow the definition for one pixel: ``alpha = (|R| / scale) ** 0.7``, at most 1."""
    return math.pow(min(1.0, abs(relevance) / scale), 0.7)


@pytest.mark.parametrize("colours", colour.COLOURS)
def test_ends_have_one_lightness_and_lie_inside_srgb(colours: Colours) -> None:
    lightness, *_ = colour._ENDS[colours]
    for end in colour.ends(colours):
        assert to_oklab(np.array(end, np.uint8))[0] == pytest.approx(lightness, abs=0.004)


@pytest.mark.parametrize("colours", colour.COLOURS)
def test_signs_stay_apart_without_green_cones(colours: Colours) -> None:
    layer = colour.layer_palette(colours)
    for background in (0, 128, 255):
        for magnitude in (32, 64, 127):
            shown = []
            for entry in (layer[127 + magnitude], layer[127 - magnitude]):
                alpha = entry[3] / 255
                shown.append(simulate_deuteranopia(alpha * entry[:3] + (1 - alpha) * background))
            support, oppose = shown
            # the sign shows in the order of the red and the blue channel, not only in a shade
            assert support[0] > support[2]
            assert oppose[2] > oppose[0]


@pytest.mark.parametrize("colours", colour.COLOURS)
@pytest.mark.parametrize("opacity", [100, 60, 5])
def test_layer_has_one_colour_for_each_sign_and_opacity_by_strength(colours: Colours, opacity: int) -> None:
    layer = colour.layer_palette(colours, opacity)
    oppose, support = colour.ends(colours)
    assert layer.shape == (255, 4)
    for level in range(-127, 128):
        red, green, blue, alpha = layer[127 + level].tolist()
        assert (red, green, blue) == (oppose if level < 0 else support)
        assert abs(alpha - 255 * opacity / 100 * opacity_of(level, 127)) <= 0.5


def test_style_sheet_has_the_colours_of_the_maps() -> None:
    tokens = (resource_dir("static") / "css" / "tokens.css").read_text()
    plain, other = tokens.split('[data-colours="orange-purple"]')
    for text, colours in ((plain, colour.COLOURS[0]), (other, colour.COLOURS[1])):
        for name, end in zip(("oppose", "support"), colour.ends(colours), strict=True):
            assert f"--map-{name}: rgb({' '.join(map(str, end))});" in text


def test_levels_follow_the_definition_value_by_value() -> None:
    relevance = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    scale = 1.5
    entries = colour.levels(relevance, scale)
    for row, column in np.ndindex(relevance.shape):
        share = max(-1.0, min(1.0, float(relevance[row, column]) / scale))
        assert entries[row, column] == 127 + math.copysign(math.floor(abs(share) * 127 + 0.5), share)


def test_levels_of_opposite_maps_mirror_each_other() -> None:
    relevance = np.random.default_rng(1).normal(size=(9, 9)).astype(np.float32)
    np.testing.assert_array_equal(
        colour.levels(relevance, 2.0).astype(int) - 127, 127 - colour.levels(-relevance, 2.0).astype(int)
    )


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_levels_with_meaningless_scale_are_zero(scale: float) -> None:
    assert (colour.levels(np.ones((2, 2), dtype=np.float32), scale) == colour.ZERO).all()


def test_full_scale_leaves_half_a_percent_of_a_map_beyond_it() -> None:
    relevance = np.random.default_rng(0).permutation(np.arange(-500, 500)).astype(np.float32).reshape(20, 50)
    assert colour.full_scale(relevance) == 497.0  # below 500, 499, 499, 498 and 498
    assert (np.abs(relevance) > colour.full_scale(relevance)).sum() == 5
    assert colour.full_scale(relevance, 10 * relevance) == 4970.0


def test_full_scale_of_few_pixels_that_are_not_zero_is_the_largest() -> None:
    relevance = np.zeros((20, 50), np.float32)
    relevance[3, 4] = -7.0
    assert colour.full_scale(relevance) == 7.0


def test_full_scale_of_small_maps_is_the_largest_magnitude_of_all() -> None:
    assert colour.full_scale() == 0.0
    assert colour.full_scale(np.zeros((0, 3), dtype=np.float32)) == 0.0
    assert colour.full_scale(np.array([1.0], np.float32), np.array([[-3.0, 2.0]], np.float32)) == 3.0


@pytest.mark.parametrize("colours", colour.COLOURS)
def test_png_is_lossless(colours: Colours) -> None:
    relevance = np.linspace(-1, 1, 255, dtype=np.float32).reshape(15, 17)
    layer = Image.open(io.BytesIO(colour.colorize(relevance, 1.0, colours)))
    np.testing.assert_array_equal(np.asarray(layer.convert("RGBA")).reshape(-1, 4), colour.layer_palette(colours))
    np.testing.assert_array_equal(colour.rgba(relevance, 1.0, colours, 100), np.asarray(layer.convert("RGBA")))


def test_layer_of_zero_relevance_leaves_black_black_and_white_white() -> None:
    zero = colour.colorize(np.zeros((3, 4), dtype=np.float32), 1.0)
    for level in (0, 255):
        picture = Image.new("RGB", (4, 3), (level, level, level))
        layer = Image.open(io.BytesIO(zero)).convert("RGBA")
        picture.paste(layer, (0, 0), layer)
        assert picture.getextrema() == ((level, level),) * 3
