"""Pictures of a whole explanation: the figure in the layout of the paper, and the card that chat programs show.

In: a story, the original images and the heat-maps. Out: PNG bytes. The layout is that of the authors (method
section 4): the test image and its own heat-map in the middle, opposing training images to the left, supporting ones to
the right, strongest next to the centre; above each training image its side of the relevance, below it the test image's.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from xda.attribution.results import Contribution
from xda.services.colormap import Colours, full_scale, palette, rgb
from xda.services.intercept import in_words
from xda.services.numbers import MINUS, addends, signed
from xda.services.overlay import Place, place_of
from xda.services.story import Story, tell
from xda.services.views import PairRelevance
from xda.settings import resource_dir
from xda.vision.decoding import decode, dimensions
from xda.vision.geometry import Resizing

if TYPE_CHECKING:
    from xda.services.explorer import Explainer

Color = tuple[int, int, int]
Map = NDArray[np.float32]

PAPER: Color = (255, 255, 255)
INK: Color = (28, 27, 25)
FAINT: Color = (112, 108, 101)
LINE: Color = (214, 210, 202)
MOST_OF_A_SIGN = 24
"""Training images of each sign in the figure; how many there are in all is written over it."""
CARD_SIZE = (1200, 630)
_PLAIN = str.maketrans({MINUS: "-", "\N{EN DASH}": "-", "\N{RIGHTWARDS ARROW}": "-", "’": "'"})


@lru_cache(maxsize=32)
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    path = resource_dir("static") / "vendor" / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
    return ImageFont.truetype(path, size) if path.is_file() else ImageFont.load_default(size)


def _sign_colors(colours: Colours) -> tuple[Color, Color]:
    """Return the colours of opposition and support."""
    table = palette(colours)
    (r, g, b), (u, v, w) = table[0].tolist(), table[-1].tolist()
    return (r, g, b), (u, v, w)


def fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return (width, height) of a picture that is scaled into a square."""
    scale = side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _laid(painted: Image.Image, where: Place, base: Image.Image) -> Image.Image:
    """Lay a painted heat-map on a picture of the whole original, at the part that the network saw."""
    x, y = base.width / where.original[0], base.height / where.original[1]
    left, top = round(where.seen.left * x), round(where.seen.top * y)
    right = round((where.seen.left + where.seen.width) * x)
    bottom = round((where.seen.top + where.seen.height) * y)
    size = max(1, right - left), max(1, bottom - top)
    resample = Image.Resampling.NEAREST if min(size) > 2 * max(painted.size) else Image.Resampling.BILINEAR
    base.paste(painted.resize(size, resample), (left, top))
    return base


class _Canvas:
    """A picture with the few things drawn on it that both layouts need."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width, height), PAPER)
        self.draw = ImageDraw.Draw(self.image)

    def text(
        self,
        at: tuple[float, float],
        words: str,
        size: int,
        color: Color = INK,
        *,
        bold: bool = False,
        anchor: str = "la",
    ) -> None:
        """Write a line and return its width; ``anchor`` as in Pillow."""
        font = _font(size, bold)
        if not isinstance(font, ImageFont.FreeTypeFont) or font.getname()[0] != "DejaVu Sans":
            # Pillow's own font, used where the vendored one is not installed, knows little more than ASCII.
            words = words.translate(_PLAIN)
        self.draw.text(at, words, font=font, fill=color, anchor=anchor)

    def picture(self, picture: Image.Image, left: int, top: int, side: int) -> None:
        """Fit a picture into a square; small ones keep their pixels."""
        scale, size = side / max(picture.size), fitted(picture.size, side)
        resample = Image.Resampling.NEAREST if scale > 2 else Image.Resampling.LANCZOS
        at = (left + (side - size[0]) // 2, top + (side - size[1]) // 2)
        self.image.paste(picture.resize(size, resample), at)
        self.draw.rectangle((left - 1, top - 1, left + side, top + side), outline=LINE)

    def original(self, encoded: bytes, left: int, top: int, side: int) -> None:
        """Place an encoded image."""
        self.picture(decode(encoded, "RGB", longest=side), left, top, side)

    def heatmap(self, painted: Image.Image, where: Place, left: int, top: int, side: int) -> None:
        """Place a heat-map, opaque, where in a square the seen part of the original is; the rest stays paper."""
        self.picture(_laid(painted, where, Image.new("RGB", fitted(where.original, side), PAPER)), left, top, side)

    def balance(self, story: Story, colours: Colours, left: int, top: int, width: int, height: int) -> None:
        """Draw the sum: all that supports to the right of zero, all that opposes back from there, the logit."""
        told = story.explanation
        oppose, support = _sign_colors(colours)
        low, high = min(0.0, told.surrogate_logit), max(told.sum_supporting, 0.0)
        span = (high - low) or 1.0

        def x(value: float) -> float:
            return left + (value - low) / span * width

        half = height // 2
        ends = (x(0), x(told.sum_supporting), x(told.sum_supporting + told.sum_opposing))
        self.draw.rectangle((ends[0], top, max(ends[0], ends[1]), top + half - 2), fill=support)
        self.draw.rectangle((min(ends[1], ends[2]), top + half + 1, ends[1], top + height), fill=oppose)
        self.draw.line((ends[0], top - 6, ends[0], top + height + 6), fill=INK, width=2)
        self.draw.line((ends[2], top - 6, ends[2], top + height + 6), fill=INK, width=4)

    def png(self) -> bytes:
        """Encode."""
        buffer = io.BytesIO()
        self.image.save(buffer, "PNG", optimize=True)
        return buffer.getvalue()


def question(story: Story) -> str:
    """Return what is asked: ``Why 9 and not 4?``."""
    told = story.explanation
    contrast = "" if told.against is None else f" and not {story.classes[told.against]}"
    return f"Why {story.classes[told.target]}{contrast}?"


def sum_in_words(story: Story) -> str:
    """Return the exact sum: ``+5.21 − 2.95 = 2.26, the surrogate’s logit for 9``."""
    told = story.explanation
    (supporting, opposing), total = addends((told.sum_supporting, told.sum_opposing), told.surrogate_logit)
    what = f"logit for {story.classes[told.target]}"
    if told.against is not None:
        what += f" minus that for {story.classes[told.against]}"
    return f"{supporting} {opposing.replace(MINUS, f'{MINUS} ')} = {total}, the surrogate’s {what}"


def decision_in_words(story: Story) -> str:
    """Return what is known of the test image: label, network, surrogate."""
    test = story.explanation.test
    agreement = "agrees" if test.agrees else "disagrees"
    return (
        f"label {story.classes[test.label]} · network {story.classes[test.predicted]} · "
        f"surrogate {story.classes[test.surrogate_predicted]} ({agreement})"
    )


def filter_in_words(story: Story) -> str:
    """Return which training images are listed where that is not all: ``only label 4 is listed``."""
    return "" if story.train_class is None else f" · only label {story.classes[story.train_class]} is listed"


def aim_in_words(story: Story) -> str:
    """Return what the listed images speak for or against: ``9``, or ``9 rather than 4``."""
    told, names = story.explanation, story.classes
    return names[told.target] + ("" if told.against is None else f" rather than {names[told.against]}")


def _pair_scale(pairs: Mapping[int, PairRelevance], one_scale: bool) -> float | None:
    """Return the scale of all pairs' maps, None for each its own.

    The own map is the sum of all training images' maps, so on a scale with single pairs one of the two would be blank.
    """
    return full_scale(*(side for pair in pairs.values() for side in (pair.test, pair.train))) if one_scale else None


def explanation_png(
    story: Story,
    *,
    test_image: bytes,
    train_images: Mapping[int, bytes],
    own_map: Map,
    pairs: Mapping[int, PairRelevance],
    preprocessing: Resizing,
    colours: Colours = "red-blue",
    one_scale: bool = False,
) -> bytes:
    """Draw an explanation.

    Parameters
    ----------
    story : Story
    test_image : bytes
        Encoded original.
    train_images : mapping of int to bytes
        Encoded originals of the listed training images.
    own_map : ndarray of shape (H, W)
        The test image's own heat-map.
    pairs : mapping of int to PairRelevance
        By training image.
    preprocessing : Resizing
        Says which part of an original its heat-map covers.
    colours : {"red-blue", "orange-purple"}
    one_scale : bool
        All pairs' maps on one scale rather than each on its own maximum; the own map is always on its own.

    Returns
    -------
    bytes
        PNG.
    """
    told, names = story.explanation, story.classes
    opposing, supporting = told.opposing[:MOST_OF_A_SIGN], told.supporting[:MOST_OF_A_SIGN]
    tile, gap, margin, big = 160, 16, 48, 344
    columns = max(2, len(opposing), len(supporting))
    wing = columns * tile + (columns - 1) * gap
    width = 2 * margin + 2 * wing + big + 2 * 56
    top, rows = 236, 3 * tile + 2 * gap
    canvas = _Canvas(width, top + rows + 212)
    shared = _pair_scale(pairs, one_scale)

    def painted(relevance: Map) -> Image.Image:
        return Image.fromarray(rgb(relevance, full_scale(relevance) if shared is None else shared, colours))

    test_place = place_of(dimensions(test_image), preprocessing)

    canvas.text((margin, 40), question(story), 40, bold=True)
    subtitle = f"Test image {told.test.index:,}: {decision_in_words(story)}{filter_in_words(story)}"
    canvas.text((margin, 96), subtitle, 22, FAINT)
    centre = margin + wing + 56
    oppose_color, support_color = _sign_colors(colours)
    aim = aim_in_words(story)
    heading = f"speaks against {aim}: {told.n_opposing:,} images, {signed(told.sum_opposing)}"
    canvas.text((centre - 56, 158), heading, 22, oppose_color, bold=True, anchor="ra")
    heading = f"speaks for {aim}: {told.n_supporting:,} images, {signed(told.sum_supporting)}"
    canvas.text((centre + big + 56, 158), heading, 22, support_color, bold=True)

    side = (rows - gap) // 2
    inset = (big - side) // 2
    canvas.original(test_image, centre + inset, top, side)
    own = Image.fromarray(rgb(own_map, full_scale(own_map), colours))
    canvas.heatmap(own, test_place, centre + inset, top + side + gap, side)
    canvas.text((centre + big / 2, top - 14), "test image, its own map below", 18, FAINT, anchor="ms")

    def column(part: Contribution, left: int, color: Color) -> None:
        words = f"{signed(part.attribution)} · {names[part.label]}"
        canvas.text((left + tile / 2, top - 14), words, 20, color, anchor="ms")
        pair, image = pairs[part.index], train_images[part.index]
        canvas.heatmap(painted(pair.train), place_of(dimensions(image), preprocessing), left, top, tile)
        canvas.original(image, left, top + tile + gap, tile)
        canvas.heatmap(painted(pair.test), test_place, left, top + 2 * (tile + gap), tile)
        if part.intercept:
            words = f"intercept {signed(part.intercept)}"
            canvas.text((left + tile / 2, top + rows + 22), words, 16, FAINT, anchor="ms")

    for place, part in enumerate(opposing):
        column(part, centre - 56 - tile - place * (tile + gap), oppose_color)
    for place, part in enumerate(supporting):
        column(part, centre + big + 56 + place * (tile + gap), support_color)

    foot = top + rows + 40
    canvas.balance(story, colours, margin, foot, width - 2 * margin, 36)
    canvas.text((margin, foot + 54), sum_in_words(story), 22, bold=True)
    canvas.text((margin, foot + 92), _footnote(story, one_scale), 18, FAINT)
    canvas.text((margin, foot + 120), _source(story), 18, FAINT)
    return canvas.png()


def write_explanation_png(
    explainer: Explainer,
    path: Path,
    *,
    test: int,
    c: float | None = None,
    target: int | str | None = None,
    against: int | str | None = None,
    limit: int = 6,
) -> None:
    """Explain a decision and write the figure to a file; parameters and errors as for ``Explainer.explain``."""
    story = tell(explainer, test, c=c, target=target, against=against, limit=limit)
    told = story.explanation
    listed = [part.index for part in (*told.supporting, *told.opposing)]
    own = explainer.own_relevance(test, c=told.c, target=told.target, against=told.against, blank=True)
    pairs = explainer.relevance(test, listed, c=told.c, target=told.target, against=told.against, blank=True)
    content = explanation_png(
        story,
        test_image=explainer.image("test", test)[0],
        train_images={index: explainer.image("train", index)[0] for index in listed},
        own_map=own.result()[0].test,
        pairs={pair.train_index: pair for pair in pairs.result()},
        preprocessing=explainer.preprocessing,
    )
    path.write_bytes(content)


def _footnote(story: Story, one_scale: bool) -> str:
    scale = "all pairs on one scale" if one_scale else "each map on its own scale"
    return (
        "Top: relevance on the training image; middle: the training image; bottom: relevance of the same pair on the "
        f"test image; {scale}, white is zero."
    )


def _source(story: Story) -> str:
    told = story.explanation
    apart = f" · {in_words(told.intercept)}" if told.intercept else ""
    return f"DualXDA · run {story.run_id} ({story.run_digest[:16]}) · C = {told.c:g}{apart}"


def card_png(
    story: Story,
    *,
    test_image: bytes,
    train_images: Mapping[int, bytes],
    own_map: Map,
    pairs: Mapping[int, PairRelevance],
    preprocessing: Resizing,
    colours: Colours = "red-blue",
) -> bytes:
    """Draw the card of a shared link: the test image, the strongest two of each sign, the sum; parameters as above.

    Returns
    -------
    bytes
        PNG of 1200 × 630 pixels.
    """
    told, names = story.explanation, story.classes
    canvas = _Canvas(*CARD_SIZE)
    oppose_color, support_color = _sign_colors(colours)
    canvas.text((48, 36), question(story), 50, bold=True)
    subtitle = f"Test image {told.test.index:,}: {decision_in_words(story)}{filter_in_words(story)}"
    canvas.text((48, 106), subtitle, 24, FAINT)

    tile, gap, top, centre = 186, 14, 214, 232

    def half_and_half(encoded: bytes, relevance: Map, left: int, where: int, side: int) -> None:
        base = decode(encoded, "RGB", longest=side)
        resample = Image.Resampling.NEAREST if side > 2 * max(base.size) else Image.Resampling.LANCZOS
        base = base.resize(fitted(base.size, side), resample)
        painted = Image.fromarray(rgb(relevance, full_scale(relevance), colours))
        covered = _laid(painted, place_of(dimensions(encoded), preprocessing), base.copy())
        canvas.picture(Image.blend(base, covered, 0.6), left, where, side)

    middle = (CARD_SIZE[0] - centre) // 2
    canvas.original(test_image, middle, top, centre)

    def wing(parts: Sequence[Contribution], first: int, step: int, color: Color) -> None:
        for place, part in enumerate([part for part in parts if part.index in train_images][:2]):
            left = first + place * step
            half_and_half(train_images[part.index], pairs[part.index].train, left, top + (centre - tile) // 2, tile)
            words = f"{signed(part.attribution)} · {names[part.label]}"
            canvas.text((left + tile / 2, top + (centre + tile) // 2 + 30), words, 24, color, bold=True, anchor="ms")

    wing(told.opposing, middle - 44 - tile, -(tile + gap), oppose_color)
    wing(told.supporting, middle + centre + 44, tile + gap, support_color)
    canvas.text((middle - 44, top - 22), "speaks against", 22, oppose_color, anchor="rs")
    canvas.text((middle + centre + 44, top - 22), "speaks for", 22, support_color, anchor="ls")

    canvas.balance(story, colours, 48, 500, CARD_SIZE[0] - 96, 32)
    canvas.text((48, 556), sum_in_words(story), 26, bold=True)
    canvas.text((CARD_SIZE[0] - 48, 44), "DualXDA Explorer", 22, FAINT, anchor="ra")
    return canvas.png()
