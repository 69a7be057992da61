"""Images inside vector figures: each once, as PNG or JPEG, with its own pixels where the file stays small.

In: a canvas. Out: for every image on it the bytes to embed and the place of each picture in units of the canvas.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from xda.data.decoding import dimensions
from xda.data.geometry import Box
from xda.data.renditions import embeddable
from xda.present.canvas import Canvas, Picture
from xda.present.layers import SMOOTHED_FROM

DETAIL = 2
"""Pixels of an embedded photograph for each unit of the figure: sharp in print and on dense screens."""

STEP = 5
"""Step of 255 to which opacities of a large map are rounded: they change by at most 1 %."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A picture on a canvas, in its units."""

    image: Box
    layer: Box | None
    """The heat-map; it may reach beyond the image, which clips it."""


def placed(picture: Picture) -> Placed:
    """Return where a picture and its heat-map lie."""
    where = picture.layer.where if picture.layer else None
    width, height = where.original if where else dimensions(picture.encoded)
    scale = picture.side / max(width, height)
    left = picture.left + (picture.side - width * scale) / 2
    top = picture.top + (picture.side - height * scale) / 2
    if where is None:
        return Placed(Box(left, top, width * scale, height * scale), None)
    seen = where.seen
    layer = Box(left + seen.left * scale, top + seen.top * scale, seen.width * scale, seen.height * scale)
    return Placed(Box(left, top, width * scale, height * scale), layer)


def images_of(canvas: Canvas) -> dict[bytes, bytes]:
    """Return the file to embed for every encoded image of a canvas, small enough for its largest place."""
    sides: dict[bytes, int] = {}
    for picture in pictures_of(canvas):
        sides[picture.encoded] = max(picture.side, sides.get(picture.encoded, 0))
    return {encoded: embeddable(encoded, DETAIL * side) for encoded, side in sides.items()}


def pictures_of(canvas: Canvas) -> Iterator[Picture]:
    """Return the pictures of a canvas in the order of drawing."""
    return (item for item in canvas.items if isinstance(item, Picture))


def is_coarse(size: tuple[int, int], place: Box) -> bool:
    """Whether an image is enlarged so much that its pixels should be seen as squares, as in the PNG."""
    return min(place.width, place.height) > 2 * max(size)


def compact(painted: Image.Image) -> Image.Image:
    """Return a painted heat-map (RGBA) with its opacity in coarser steps, which nobody sees but halves the file.

    A small map stays as it is: its pixels are seen one by one.
    """
    if max(painted.size) < SMOOTHED_FROM:
        return painted
    pixels = np.array(painted.convert("RGBA"))
    pixels[..., 3] = (pixels[..., 3].astype(np.uint16) + STEP // 2) // STEP * STEP
    pixels[pixels[..., 3] == 0] = 0
    return Image.fromarray(pixels)


def layer_png(painted: Image.Image) -> bytes:
    """Return a painted heat-map (RGBA) as PNG, with a palette if its colours fit into one, which is much smaller."""
    painted = compact(painted)
    pixels = np.ascontiguousarray(np.asarray(painted.convert("RGBA")))
    colors, entries = np.unique(pixels.view(np.uint32)[..., 0], return_inverse=True)
    buffer = io.BytesIO()
    if len(colors) > 256:
        painted.save(buffer, "PNG")
        return buffer.getvalue()
    table = colors.view(np.uint8).reshape(-1, 4)
    image = Image.frombytes("P", painted.size, entries.astype(np.uint8).tobytes())
    image.putpalette(np.ascontiguousarray(table[:, :3]).tobytes())
    image.save(buffer, "PNG", optimize=True, transparency=table[:, 3].tobytes())
    return buffer.getvalue()
