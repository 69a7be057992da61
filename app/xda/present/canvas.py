"""A canvas for figures: text that stays within its room, originals, heat-maps, and the sum as two bars.

Every text and every picture is kept with its box, so that a test can measure that nothing lies on anything else.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

from PIL import Image, ImageDraw, ImageFont

from xda.data.decoding import decode
from xda.data.geometry import Place
from xda.numerals import MINUS
from xda.present.colour import Colours, ends
from xda.settings import resource_dir

Color = tuple[int, int, int]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Length = Callable[[str], float]
"""Returns the width of a line of text."""

PAPER: Color = (255, 255, 255)
INK: Color = (28, 27, 25)
FAINT: Color = (112, 108, 101)
LINE: Color = (214, 210, 202)
INKED = 0.83
"""The colours of signs are darkened by this factor for words, which need contrast on white."""
LEAST = 13
"""Smallest size of letters; longer text is cut."""
_LINE_HEIGHT = 1.3
_PLAIN = str.maketrans(
    {
        MINUS: "-",
        "\N{EN DASH}": "-",
        "\N{RIGHTWARDS ARROW}": "-",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{HORIZONTAL ELLIPSIS}": "...",
    }
)


@dataclass(frozen=True, slots=True)
class Text:
    """A drawn line of text with its box."""

    words: str
    box: Box


@lru_cache(maxsize=64)
def _font(size: int, bold: bool = False) -> Font:
    path = resource_dir("static") / "vendor" / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
    return ImageFont.truetype(path, size) if path.is_file() else ImageFont.load_default(size)


def _written(words: str, font: Font) -> str:
    """Return words in letters that the font has: Pillow's own font has little more than ASCII."""
    vendored = isinstance(font, ImageFont.FreeTypeFont) and font.getname()[0] == "DejaVu Sans"
    return words if vendored else words.translate(_PLAIN)


def _length(words: str, size: int, bold: bool) -> float:
    font = _font(size, bold)
    return font.getlength(_written(words, font))


def line_height(size: int) -> int:
    """Return the distance of two lines in letters of a size."""
    return round(size * _LINE_HEIGHT)


def cut(words: str, room: float, length: Length) -> str:
    """Return words, cut with an ellipsis if they do not fit."""
    if length(words) <= room:
        return words
    while words and length(f"{words}…") > room:
        words = words[:-1]
    return f"{words.rstrip()}…"


def broken(words: str, room: float, most: int, length: Length) -> tuple[list[str], bool]:
    """Break words into a limited number of lines and cut the rest.

    Parameters
    ----------
    words : str
    room : float
        Width of a line.
    most : int
        Most lines.
    length : callable
        Returns the width of a line in the unit of `room`.

    Returns
    -------
    lines : list of str
    whole : bool
        False if text was cut.
    """
    lines: list[str] = []
    for word in words.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and length(longer) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > most:
        lines = [*lines[: most - 1], " ".join(lines[most - 1 :])]
    fitting = [cut(line, room, length) for line in lines]
    return fitting, fitting == lines


def wrapped(words: str, size: int, room: float, most: int, bold: bool = False) -> tuple[list[str], int]:
    """Break words into lines, in smaller letters if need be, down to ``LEAST``.

    Parameters
    ----------
    words : str
    size : int
        Of the letters.
    room : float
        Width in pixels.
    most : int
        Most lines.
    bold : bool

    Returns
    -------
    lines : list of str
    size : int
    """
    lines: list[str] = []
    for trial in range(size, LEAST - 1, -1):
        lines, whole = broken(words, room, most, partial(_length, size=trial, bold=bold))
        if whole:
            return lines, trial
    return lines, LEAST


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


def sign_colors(colours: Colours) -> tuple[Color, Color]:
    """Return the colours of opposition and support for words and bars on paper: those of the maps, darker."""
    (r, g, b), (u, v, w) = ([round(INKED * level) for level in end] for end in ends(colours))
    return (r, g, b), (u, v, w)


class Canvas:
    """A picture under construction.

    Attributes
    ----------
    texts : list of Text
        Every line of text on it.
    pictures : list of tuple of float
        Box of every picture on it.
    """

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width, height), PAPER)
        self.draw = ImageDraw.Draw(self.image)
        self.texts: list[Text] = []
        self.pictures: list[Box] = []

    def text(
        self,
        at: tuple[float, float],
        words: str,
        size: int,
        color: Color = INK,
        *,
        room: float,
        bold: bool = False,
        anchor: str = "la",
    ) -> None:
        """Write a line no wider than its room, in smaller letters if need be; ``anchor`` as in Pillow."""
        self.block(at, words, size, color, room=room, most=1, bold=bold, anchor=anchor)

    def block(
        self,
        at: tuple[float, float],
        words: str,
        size: int,
        color: Color = INK,
        *,
        room: float,
        most: int,
        bold: bool = False,
        anchor: str = "la",
    ) -> float:
        """Write a limited number of lines below each other; return the top of the next line."""
        lines, size = wrapped(words, size, room, most, bold)
        for place, line in enumerate(lines):
            self._line((at[0], at[1] + place * line_height(size)), line, size, color, bold, anchor)
        return at[1] + len(lines) * line_height(size)

    def _line(self, at: tuple[float, float], words: str, size: int, color: Color, bold: bool, anchor: str) -> None:
        font = _font(size, bold)
        written = _written(words, font)
        self.draw.text(at, written, font=font, fill=color, anchor=anchor)
        self.texts.append(Text(words, self.draw.textbbox(at, written, font=font, anchor=anchor)))

    def picture(self, picture: Image.Image, left: int, top: int, side: int) -> None:
        """Fit a picture into a square; small ones keep their pixels."""
        scale, size = side / max(picture.size), fitted(picture.size, side)
        resample = Image.Resampling.NEAREST if scale > 2 else Image.Resampling.LANCZOS
        at = (left + (side - size[0]) // 2, top + (side - size[1]) // 2)
        self.image.paste(picture.resize(size, resample), at)
        self.draw.rectangle((left - 1, top - 1, left + side, top + side), outline=LINE)
        self.pictures.append((left - 1, top - 1, left + side, top + side))

    def original(self, encoded: bytes, left: int, top: int, side: int) -> None:
        """Place an encoded image."""
        self.picture(decode(encoded, "RGB", longest=side), left, top, side)

    def covered(self, encoded: bytes, painted: Image.Image, where: Place, left: int, top: int, side: int) -> None:
        """Place an encoded image with a painted heat-map over the part that the network saw."""
        base = decode(encoded, "RGB", longest=side)
        resample = Image.Resampling.NEAREST if side > 2 * max(base.size) else Image.Resampling.LANCZOS
        self.picture(laid(painted, where, base.resize(fitted(base.size, side), resample)), left, top, side)

    def balance(self, supporting: float, opposing: float, logit: float, colours: Colours, box: Box) -> None:
        """Draw the sum as two bars: support from zero to the right, opposition back from there to the logit."""
        left, top, right, bottom = box
        oppose, support = sign_colors(colours)
        low, high = min(0.0, logit), max(supporting, 0.0)
        span = (high - low) or 1.0

        def x(value: float) -> float:
            return left + (value - low) / span * (right - left)

        half = top + (bottom - top) // 2
        ends = (x(0), x(supporting), x(supporting + opposing))
        self.draw.rectangle((ends[0], top, max(ends[0], ends[1]), half - 2), fill=support)
        self.draw.rectangle((min(ends[1], ends[2]), half + 1, ends[1], bottom), fill=oppose)
        self.draw.line((ends[0], top - 6, ends[0], bottom + 6), fill=INK, width=2)
        self.draw.line((ends[2], top - 6, ends[2], bottom + 6), fill=INK, width=4)
        self.pictures.append((left, top - 6, right, bottom + 6))

    def end(self, height: float) -> None:
        """Crop the canvas to a height."""
        self.image = self.image.crop((0, 0, self.image.width, round(height)))

    def png(self) -> bytes:
        """Return the canvas as PNG."""
        buffer = io.BytesIO()
        self.image.save(buffer, "PNG", optimize=True)
        return buffer.getvalue()
