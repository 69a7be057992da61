"""A canvas for figures: text that stays within its room, originals, heat-maps and bars.

A canvas is a list of what stands where. ``xda.present.raster``, ``vector`` and ``portable`` paint it as PNG, SVG and
PDF, so all three show the same. Every item has its box, so that a test can measure that nothing lies on anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from PIL import Image, ImageFont

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
    """A line of text with its box."""

    words: str
    box: Box
    left: float
    baseline: float
    width: float
    """Measured in the figure's font; in another one the line is stretched to it."""
    size: int
    color: Color
    bold: bool


@dataclass(frozen=True, slots=True)
class Layer:
    """A painted heat-map and the part of the original that it covers."""

    painted: Image.Image
    """RGBA, as large as the network's input."""
    where: Place


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded image, fitted into the middle of a square and framed."""

    encoded: bytes
    layer: Layer | None
    left: int
    top: int
    side: int

    @property
    def frame(self) -> Box:
        """The box with the frame, one pixel wide."""
        return self.left - 1, self.top - 1, self.left + self.side, self.top + self.side


@dataclass(frozen=True, slots=True)
class Bar:
    """A filled rectangle."""

    box: Box
    color: Color


@lru_cache(maxsize=64)
def font_of(size: int, bold: bool = False) -> Font:
    """Return the figures' font, or Pillow's own where it is not installed."""
    path = font_file(bold)
    return ImageFont.load_default(size) if path is None else ImageFont.truetype(path, size)


def font_file(bold: bool = False) -> Path | None:
    """Return the file of the figures' font; None where ``npm ci`` has not brought it."""
    path = resource_dir("static") / "vendor" / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
    return path if path.is_file() else None


def written(words: str, font: Font) -> str:
    """Return words in letters that the font has: Pillow's own font has little more than ASCII."""
    vendored = isinstance(font, ImageFont.FreeTypeFont) and font.getname()[0] == "DejaVu Sans"
    return words if vendored else words.translate(_PLAIN)


def _length(words: str, size: int, bold: bool) -> float:
    font = font_of(size, bold)
    return font.getlength(written(words, font))


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


def _line(at: tuple[float, float], words: str, size: int, color: Color, bold: bool, anchor: str) -> Text:
    """Measure a line of text; its anchor is Pillow's: l, m or r, then a (ascender), s (baseline) or d (descender)."""
    font = font_of(size, bold)
    letters = written(words, font)
    width = font.getlength(letters)
    ascent, descent = font.getmetrics() if isinstance(font, ImageFont.FreeTypeFont) else (size, 0)
    left = at[0] - {"l": 0.0, "m": width / 2, "r": width}[anchor[0]]
    baseline = at[1] + {"a": ascent, "s": 0, "d": -descent}[anchor[1]]
    x, y, right, bottom = font.getbbox(letters, anchor="ls")
    box = left + x, baseline + y, left + right, baseline + bottom
    return Text(words, box, left, baseline, width, size, color, bold)


def sign_colors(colours: Colours) -> tuple[Color, Color]:
    """Return the colours of opposition and support for words and bars on paper: those of the maps, darker."""
    (r, g, b), (u, v, w) = ([round(INKED * level) for level in end] for end in ends(colours))
    return (r, g, b), (u, v, w)


class Canvas:
    """A figure under construction: what stands where, in the order of drawing; it has no pixels yet.

    Attributes
    ----------
    width, height : int
    title : str
        Name of the figure, for readers of vector files.
    items : list of Text, Picture or Bar
        Everything on it, the lowest first.
    texts : list of Text
        Every line of text on it.
    pictures : list of tuple of float
        Box of every picture on it.
    """

    def __init__(self, width: int, height: int, title: str = "") -> None:
        self.width, self.height, self.title = width, height, title
        self.items: list[Text | Picture | Bar] = []
        self.pictures: list[Box] = []

    @property
    def texts(self) -> list[Text]:
        """Return every line of text."""
        return [item for item in self.items if isinstance(item, Text)]

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
            self.items.append(_line((at[0], at[1] + place * line_height(size)), line, size, color, bold, anchor))
        return at[1] + len(lines) * line_height(size)

    def original(self, encoded: bytes, left: int, top: int, side: int) -> None:
        """Fit an encoded image into a square."""
        self._picture(Picture(encoded, None, left, top, side))

    def covered(self, encoded: bytes, painted: Image.Image, where: Place, left: int, top: int, side: int) -> None:
        """Fit an encoded image into a square, with a painted heat-map over the part that the network saw."""
        self._picture(Picture(encoded, Layer(painted, where), left, top, side))

    def _picture(self, picture: Picture) -> None:
        self.items.append(picture)
        self.pictures.append(picture.frame)

    def bar(self, box: Box, color: Color) -> None:
        """Fill a rectangle; an edge at a whole number lies between two pixels."""
        self.items.append(Bar(box, color))

    def end(self, height: float) -> None:
        """Cut the canvas to a height."""
        self.height = round(height)
