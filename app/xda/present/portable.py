"""A canvas as PDF of one page, through reportlab: text as text, each image embedded once, heat-maps as soft masks.

The font is embedded, cut down to the letters in use. The same canvas gives the same bytes, so the file has no date.
"""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

from PIL import Image
from reportlab import rl_config
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas as Page

from xda.data.decoding import decode
from xda.data.geometry import Box
from xda.present.canvas import LINE, Bar, Canvas, Color, Picture, Text, font_file, font_of, written
from xda.present.embedded import compact, images_of, is_coarse, placed

POINTS = 0.75
"""Points for each unit of a canvas: 96 units make an inch, as in SVG."""


def pdf(canvas: Canvas) -> bytes:
    """Return a canvas as PDF."""
    rl_config.useA85 = 0  # binary streams; as text they are a quarter larger
    buffer = io.BytesIO()
    page = Page(
        buffer,
        pagesize=(canvas.width * POINTS, canvas.height * POINTS),
        pageCompression=1,
        invariant=1,
        lang="en",
    )
    page.setTitle(canvas.title)
    page.setCreator("DualXDA Explorer")
    page.scale(POINTS, POINTS)
    readers = {encoded: _Embedded(content) for encoded, content in images_of(canvas).items()}
    for item in canvas.items:
        if isinstance(item, Text):
            _write(page, item, canvas.height)
        elif isinstance(item, Bar):
            left, top, right, bottom = item.box
            page.setFillColorRGB(*_shares(item.color))
            if right > left and bottom > top:
                page.rect(left, canvas.height - bottom, right - left, bottom - top, stroke=0, fill=1)
        else:
            _draw(page, item, readers[item.encoded], canvas.height)
    page.showPage()
    page.save()
    return buffer.getvalue()


class _Embedded:
    """One image of a document, read once however often it is drawn."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._read: dict[bool, ImageReader] = {}

    def reader(self, place: Box) -> ImageReader:
        """Return the image; a small one with its pixels enlarged, since many programs would blur them."""
        image = decode(self._content)
        coarse = is_coarse(image.size, place)
        if coarse not in self._read:
            self._read[coarse] = (
                ImageReader(_enlarged(image, place)) if coarse else ImageReader(io.BytesIO(self._content))
            )
        return self._read[coarse]


def _enlarged(image: Image.Image, place: Box) -> Image.Image:
    times = round(2 * max(place.width, place.height) / max(image.size))
    return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)


def _draw(page: Page, item: Picture, embedded: _Embedded, height: int) -> None:
    place = placed(item)
    image = place.image
    page.drawImage(
        embedded.reader(image), image.left, height - image.top - image.height, image.width, image.height, mask="auto"
    )
    if item.layer is not None and place.layer is not None:
        painted, layer = compact(item.layer.painted), place.layer
        if is_coarse(painted.size, layer):
            painted = _enlarged(painted, layer)
        page.saveState()
        clip = page.beginPath()
        clip.rect(image.left, height - image.top - image.height, image.width, image.height)
        page.clipPath(clip, stroke=0, fill=0)
        bottom = height - layer.top - layer.height
        page.drawImage(ImageReader(painted), layer.left, bottom, layer.width, layer.height, mask="auto")
        page.restoreState()
    left, top, right, bottom = item.frame
    page.setStrokeColorRGB(*_shares(LINE))
    page.rect(left + 0.5, height - bottom - 0.5, right - left, bottom - top, stroke=1, fill=0)


def _write(page: Page, item: Text, height: int) -> None:
    name = _font(font_file(item.bold), item.bold)
    words = item.words if name.startswith("DejaVu") else written(item.words, font_of(item.size, item.bold))
    wide = pdfmetrics.stringWidth(words, name, item.size)
    line = page.beginText(item.left, height - item.baseline)
    line.setFont(name, item.size)
    line.setFillColorRGB(*_shares(item.color))
    line.setHorizScale(100 * item.width / wide if wide else 100)
    line.textOut(words)
    page.drawText(line)


@lru_cache(maxsize=8)
def _font(path: Path | None, bold: bool) -> str:
    """Return the name of the embedded font, or of PDF's own where it is not installed."""
    if path is None:
        return "Helvetica-Bold" if bold else "Helvetica"
    pdfmetrics.registerFont(TTFont(f"DejaVu-{'Bold' if bold else 'Book'}", path))
    return f"DejaVu-{'Bold' if bold else 'Book'}"


def _shares(color: Color) -> tuple[float, float, float]:
    red, green, blue = (level / 255 for level in color)
    return red, green, blue
