"""Relevance to colour: two diverging scales through white, as palette images.

In goes a map of signed relevances and the magnitude that counts as full colour; out comes a lossless palette PNG.
Both scales are straight lines in OKLab (Ottosson, "A perceptual color space for image processing", 2020) from white to
one end for each sign. Both ends have the same lightness and the same chroma, so lightness falls linearly with the
magnitude and equal magnitudes of either sign weigh the same to the eye.

The *layer* form is the same picture with as much white as possible turned into transparency: laid over white it is
exactly the opaque one, laid over an image it tints it and leaves pixels of zero relevance untouched.
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

_ENDS: dict[Colours, tuple[float, float, float, float]] = {
    # lightness, chroma, hue of support, hue of opposition (OKLCh, degrees)
    "red-blue": (0.50, 0.185, 27.0, 262.0),
    "orange-purple": (0.56, 0.128, 58.0, 303.0),
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
def palette(colours: Colours = "red-blue") -> NDArray[np.uint8]:
    """Return the 255 opaque colours of a scale, most opposing first.

    Parameters
    ----------
    colours : {"red-blue", "orange-purple"}

    Returns
    -------
    ndarray of uint8, shape (255, 3)
        Entry 127 is exactly white; read-only.
    """
    lightness, chroma, support, oppose = _ENDS[colours]
    share = np.arange(-ZERO, ZERO + 1) / ZERO
    hue = np.radians(np.where(share > 0, support, oppose))
    magnitude = np.abs(share)
    lab = np.stack(
        [1 - magnitude * (1 - lightness), magnitude * chroma * np.cos(hue), magnitude * chroma * np.sin(hue)], axis=1
    )
    table = np.rint(np.clip(oklab_to_srgb(lab), 0, 1) * 255).astype(np.uint8)
    table[ZERO] = 255
    table.setflags(write=False)
    return table


@lru_cache(maxsize=8)
def layer_palette(colours: Colours = "red-blue") -> NDArray[np.uint8]:
    """Return the scale with white turned into transparency.

    Parameters
    ----------
    colours : {"red-blue", "orange-purple"}

    Returns
    -------
    ndarray of uint8, shape (255, 4)
        RGBA; over white each entry equals that of :func:`palette` to one level, entry 127 is fully transparent.
    """
    opaque = palette(colours).astype(np.float64)
    # Round alpha up, so that the colour below it never leaves [0, 255].
    alpha = 255 - opaque.min(axis=1)
    covered = np.maximum(alpha, 1)[:, None]
    colour = np.rint((opaque - (255 - alpha)[:, None]) * 255 / covered)
    table = np.concatenate([np.clip(colour, 0, 255), alpha[:, None]], axis=1).astype(np.uint8)
    table.setflags(write=False)
    return table


def full_scale(*maps: NDArray[np.float32]) -> float:
    """Return the largest magnitude in any of the maps, as their common scale.

    Parameters
    ----------
    *maps : ndarray
        Any shapes.

    Returns
    -------
    float
        0.0 without maps or with zeros only.
    """
    return max((float(np.abs(values).max(initial=0.0)) for values in maps), default=0.0)


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
    return (ZERO + np.rint(share * ZERO)).astype(np.uint8)


def colorize(
    relevance: NDArray[np.float32], scale: float, colours: Colours = "red-blue", *, layer: bool = True
) -> bytes:
    """Return a heat-map as a lossless palette PNG.

    Parameters
    ----------
    relevance : ndarray of shape (H, W)
    scale : float
        Magnitude of full colour, see :func:`full_scale`.
    colours : {"red-blue", "orange-purple"}
    layer : bool
        Transparent where the relevance is zero, to lie over an image; else opaque with white there.

    Returns
    -------
    bytes
    """
    entries = levels(relevance, scale)
    height, width = entries.shape
    image = Image.frombytes("P", (width, height), entries.tobytes())
    image.putpalette(palette(colours).tobytes())
    buffer = io.BytesIO()
    if layer:
        table = layer_palette(colours)
        image.putpalette(np.ascontiguousarray(table[:, :3]).tobytes())
        image.save(buffer, "PNG", transparency=table[:, 3].tobytes())
    else:
        image.save(buffer, "PNG")
    return buffer.getvalue()


def rgb(relevance: NDArray[np.float32], scale: float, colours: Colours = "red-blue") -> NDArray[np.uint8]:
    """Return a heat-map as opaque colours, shape (H, W, 3), for figures composed in memory."""
    return palette(colours)[levels(relevance, scale)]
