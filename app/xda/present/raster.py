"""A canvas as PNG."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw

from xda.data.decoding import decode
from xda.data.geometry import Place
from xda.present.canvas import LINE, PAPER, Bar, Canvas, Picture, Text, font_of, written


def fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return (width, height) of a picture scaled into a square."""
    scale = side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def laid(painted: Image.Image, where: Place, base: Image.Image) -> Image.Image:
    """Lay a painted heat-map (RGBA) over the whole original, on the part that the network saw; return the original."""
    x, y = base.width / where.original[0], base.height / where.original[1]
    left, top = round(where.seen.left * x), round(where.seen.top * y)
    right = round((where.seen.left + where.seen.width) * x)
    bottom = round((where.seen.top + where.seen.height) * y)
    size = max(1, right - left), max(1, bottom - top)
    resample = Image.Resampling.NEAREST if min(size) > 2 * max(painted.size) else Image.Resampling.BILINEAR
    over = painted.resize(size, resample)
    base.paste(over, (left, top), over)
    return base


def png(canvas: Canvas) -> bytes:
    """Return a canvas as PNG, as many pixels as it has units."""
    image = Image.new("RGB", (canvas.width, canvas.height), PAPER)
    draw = ImageDraw.Draw(image)
    decoded: dict[tuple[bytes, int], Image.Image] = {}
    """The test image stands over and over."""
    for item in canvas.items:
        if isinstance(item, Text):
            font = font_of(item.size, item.bold)
            words = written(item.words, font)
            draw.text((item.left, item.baseline), words, font=font, fill=item.color, anchor="ls")
        elif isinstance(item, Bar):
            left, top, right, bottom = map(round, item.box)
            if right > left and bottom > top:
                draw.rectangle((left, top, right - 1, bottom - 1), fill=item.color)
        else:
            key = item.encoded, item.side
            if key not in decoded:
                decoded[key] = _scaled(decode(item.encoded, "RGB", longest=item.side), item.side)
            picture = decoded[key].copy()
            if item.layer is not None:
                picture = laid(item.layer.painted, item.layer.where, picture)
            image.paste(picture, _corner(item, picture.size))
            draw.rectangle(item.frame, outline=LINE)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _scaled(image: Image.Image, side: int) -> Image.Image:
    """Fit an image into a square; small ones keep their pixels."""
    resample = Image.Resampling.NEAREST if side > 2 * max(image.size) else Image.Resampling.LANCZOS
    return image.resize(fitted(image.size, side), resample)


def _corner(item: Picture, size: tuple[int, int]) -> tuple[int, int]:
    return item.left + (item.side - size[0]) // 2, item.top + (item.side - size[1]) // 2
