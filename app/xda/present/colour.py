"""Relevance to colour: a transparent layer with one hue for each sign, to lie over a photograph in its own colours.

In goes a map of signed relevances and the magnitude that counts as full colour; out comes a layer. The colour says only
the sign; the strength is the opacity, ``alpha = (|R| / scale) ** 0.7``, times the opacity of all maps (60 % unless the
reader chooses another). So nothing is seen where the relevance is zero, black stays black, and the photograph shows
through everywhere. The exponent below 1 keeps weak relevance visible. Both hues have the same lightness (OKLCh;
Ottosson, "A perceptual color space for image processing", 2020), so equal magnitudes of either sign weigh the same.

``static/js/colours.js`` has the same table for the browser; a test compares the two.
"""

from __future__ import annotations

import io
import math
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Colours = Literal["red-blue", "orange-purple"]
COLOURS: tuple[Colours, ...] = get_args(Colours)
"""Supporting colour first."""

ZERO = 127
"""Palette entry of zero; levels are symmetric about it: 0 … 254."""

GAMMA = 0.7
"""Exponent from the share of the scale to the opacity of a pixel."""

BEYOND = 0.005
"""Share of a map's pixels that may be stronger than full colour."""

OPACITY = 60
"""Opacity of all maps in percent, unless chosen otherwise."""

Rgb = tuple[int, int, int]

_ENDS: dict[Colours, tuple[float, float, float, float, float]] = {
    # OKLCh: lightness; chroma and hue (degrees) of support, then of opposition
    "red-blue": (0.58, 0.21, 27.0, 0.19, 262.0),
    "orange-purple": (0.58, 0.135, 58.0, 0.16, 303.0),
}


def oklab_to_srgb(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert OKLab to gamma-encoded sRGB.

    Parameters
    ----------
    lab : ndarray of shape (..., 3)
        Lightness in [0, 1], a, b.

    Returns
    -------
    ndarray of shape (..., 3)
        sRGB; inside [0, 1] for colours in gamut, not clipped.
    """
    to_cone = np.array([[1.0, 0.3963377774, 0.2158037573], [1.0, -0.1055613458, -0.0638541728],
                        [1.0, -0.0894841775, -1.2914855480]])  # fmt: skip
    to_linear = np.array([[4.0767416621, -3.3077115913, 0.2309699292], [-1.2684380046, 2.6097574011, -0.3413193965],
                          [-0.0041960863, -0.7034186147, 1.7076147010]])  # fmt: skip
    linear = (lab @ to_cone.T) ** 3 @ to_linear.T
    magnitude = np.abs(linear)
    encoded = np.where(magnitude <= 0.0031308, 12.92 * magnitude, 1.055 * magnitude ** (1 / 2.4) - 0.055)
    return np.asarray(np.sign(linear) * encoded)


@lru_cache(maxsize=8)
def ends(colours: Colours = "red-blue") -> tuple[Rgb, Rgb]:
    """Return the colours of opposition and support in sRGB.

    Parameters
    ----------
    colours : {"red-blue", "orange-purple"}
    """
    lightness, *signs = _ENDS[colours]
    found = []
    for chroma, degrees in (signs[2:], signs[:2]):
        hue = math.radians(degrees)
        encoded = oklab_to_srgb(np.array([lightness, chroma * math.cos(hue), chroma * math.sin(hue)]))
        red, green, blue = np.rint(np.clip(encoded, 0, 1) * 255).astype(int).tolist()
        found.append((red, green, blue))
    return found[0], found[1]


@lru_cache(maxsize=64)
def layer_palette(colours: Colours = "red-blue", opacity: int = 100) -> NDArray[np.uint8]:
    """Return the colour and opacity of every level, most opposing first.

    Parameters
    ----------
    colours : {"red-blue", "orange-purple"}
    opacity : int
        Of the whole layer, in percent.

    Returns
    -------
    ndarray of uint8, shape (255, 4)
        RGBA; entry 127 is fully transparent; read-only.
    """
    share = np.arange(-ZERO, ZERO + 1) / ZERO
    table = np.empty((2 * ZERO + 1, 4), dtype=np.uint8)
    table[:ZERO, :3], table[ZERO:, :3] = ends(colours)
    table[:, 3] = np.floor(255 * opacity / 100 * np.abs(share) ** GAMMA + 0.5)
    table.setflags(write=False)
    return table


def full_scale(*maps: NDArray[np.float32]) -> float:
    """Return the common scale of maps: the magnitude that reaches full colour.

    It is the largest, over the maps, of the magnitude that all but 0.5 % of a map's pixels stay below. On a photograph
    a few pixels are several times stronger than all others; on their scale nothing else would be seen.

    Parameters
    ----------
    *maps : ndarray
        Any shapes.

    Returns
    -------
    float
        0.0 without maps or with zeros only.
    """
    return max((_full(np.abs(values).ravel()) for values in maps), default=0.0)


def _full(magnitude: NDArray[np.float32]) -> float:
    """Return the magnitude of full colour of one map; the largest where fewer pixels are not zero."""
    if magnitude.size == 0:
        return 0.0
    beyond = int(BEYOND * magnitude.size)
    found = float(np.partition(magnitude, magnitude.size - 1 - beyond)[magnitude.size - 1 - beyond])
    return found if found > 0 else float(magnitude.max())


def levels(relevance: NDArray[np.float32], scale: float) -> NDArray[np.uint8]:
    """Map signed relevance to palette entries.

    Parameters
    ----------
    relevance : ndarray of shape (H, W)
    scale : float
        Magnitude of full colour; larger magnitudes are clipped. A scale of 0 gives the entry of zero everywhere.

    Returns
    -------
    ndarray of uint8, shape (H, W)
        0 … 254, 127 for zero.
    """
    if not (scale > 0 and math.isfinite(scale)):
        return np.full(relevance.shape, ZERO, dtype=np.uint8)
    share = np.clip(np.asarray(relevance, dtype=np.float64) / scale, -1, 1)
    return (ZERO + np.copysign(np.floor(np.abs(share) * ZERO + 0.5), share)).astype(np.uint8)


def colorize(relevance: NDArray[np.float32], scale: float, colours: Colours = "red-blue") -> bytes:
    """Return a heat-map as a lossless palette PNG, transparent where the relevance is zero.

    Parameters
    ----------
    relevance : ndarray of shape (H, W)
    scale : float
        Magnitude of full colour, see :func:`full_scale`.
    colours : {"red-blue", "orange-purple"}

    Returns
    -------
    bytes
    """
    entries = levels(relevance, scale)
    height, width = entries.shape
    table = layer_palette(colours)
    image = Image.frombytes("P", (width, height), entries.tobytes())
    image.putpalette(np.ascontiguousarray(table[:, :3]).tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=table[:, 3].tobytes())
    return buffer.getvalue()


def rgba(
    relevance: NDArray[np.float32], scale: float, colours: Colours = "red-blue", opacity: int = OPACITY
) -> NDArray[np.uint8]:
    """Return a heat-map as a layer of shape (H, W, 4), for figures composed in memory."""
    return layer_palette(colours, opacity)[levels(relevance, scale)]
