"""Pictures of an explanation: the figure in the layout of the paper, and the card for chat programs.

In: a story, the original images and the heat-maps. Out: a canvas. The layout is that of the authors (method
section 4): the test image and its heat-maps in the middle, opposing training images to the left, supporting ones to the
right, strongest next to the centre; above each training image its side of the relevance, below it, on the test image,
what the pair differs in from all of its sign.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xda.attribution.results import Contribution, PairRelevance, difference
from xda.data.decoding import dimensions
from xda.data.geometry import Resizing, place_of
from xda.decision import Decision
from xda.numerals import signed, terms
from xda.present.canvas import FAINT, Canvas, Color, line_height, sign_colors, wrapped
from xda.present.colour import Colours, full_scale, rgba
from xda.present.named_sum import MOST_NAMED, named_sum
from xda.present.story import Story
from xda.present.words import (
    RANK_NAMES,
    decision_in_words,
    evidence,
    filter_in_words,
    intercept_in_words,
    question,
    ranking_in_words,
    source_in_words,
    sum_in_words,
)

if TYPE_CHECKING:
    from xda.explanation.run import Explainer

Map = NDArray[np.float32]

MOST_OF_A_SIGN = 24
"""Training images of each sign in the figure; how many there are in all is written over it."""
CARD_SIZE = (1200, 630)


def _pair_scale(pairs: Mapping[int, PairRelevance], one_scale: bool) -> float | None:
    """Return the common scale of all pairs' maps; None if each has its own.

    The own map sums all training images' maps, so on one scale with single pairs one of the two would look blank.
    """
    return full_scale(*(side for pair in pairs.values() for side in (pair.test, pair.train))) if one_scale else None


@dataclass(frozen=True, slots=True)
class Drawn:
    """The images and heat-maps that are drawn of a decision."""

    test_image: bytes
    """The encoded original."""
    train_images: Mapping[int, bytes]
    """Encoded originals of the listed training images."""
    evidence: Sequence[PairRelevance]
    """The test image's own map, then those of all supporting and of all opposing training images on it, as
    ``evidence_relevance`` gives them; empty for a card."""
    pairs: Mapping[int, PairRelevance]
    """By training image."""
    preprocessing: Resizing
    """Says which part of an original its heat-map covers."""

    @classmethod
    def of(
        cls, explainer: Explainer, decision: Decision, evidence: Sequence[PairRelevance], pairs: Sequence[PairRelevance]
    ) -> Drawn:
        """Take the originals to the results of ``evidence_relevance`` and ``relevance``."""
        return cls(
            test_image=explainer.image("test", decision.test)[0],
            train_images={pair.train_index: explainer.image("train", pair.train_index)[0] for pair in pairs},
            evidence=tuple(evidence),
            pairs={pair.train_index: pair for pair in pairs},
            preprocessing=explainer.preprocessing,
        )


TILE, GAP, MARGIN, CENTRE, APART = 160, 16, 48, 512, 56
"""Pixels: a training image, between two, around all, the middle, and on both sides of it."""
WIDEST_PART = 220
"""Most pixels of a part of the sum."""
NAME = 18
"""Size of the letters of a class's name over a training image."""


def explanation_canvas(story: Story, drawn: Drawn, *, colours: Colours = "red-blue", one_scale: bool = False) -> Canvas:
    """Draw an explanation on a canvas, which ``xda.present.figure_files`` paints.

    Parameters
    ----------
    story : Story
    drawn : Drawn
    colours : {"red-blue", "orange-purple"}
    one_scale : bool
        All pairs' maps on one scale rather than each on its own; the own map is always on its own.
    """
    told, names = story.explanation, story.classes
    opposing, supporting = told.opposing[:MOST_OF_A_SIGN], told.supporting[:MOST_OF_A_SIGN]
    columns = max(2, len(opposing), len(supporting))
    wing = columns * TILE + (columns - 1) * GAP
    width = 2 * MARGIN + 2 * wing + CENTRE + 2 * APART
    room, centre = width - 2 * MARGIN, MARGIN + wing + APART
    canvas = Canvas(width, 1400, question(told, names))
    shared = _pair_scale(drawn.pairs, one_scale)
    oppose_color, support_color = sign_colors(colours)

    own, *sides = drawn.evidence
    all_supporting, all_opposing = sides

    def painted(relevance: Map, full: float) -> Image.Image:
        return Image.fromarray(rgba(relevance, full if shared is None else shared, colours))

    test_place = place_of(dimensions(drawn.test_image), drawn.preprocessing)
    canvas.text((MARGIN, 40), question(told, names), 40, room=room, bold=True)
    subtitle = _subtitle(story)
    at = canvas.block((MARGIN, 96), subtitle, 22, FAINT, room=room, most=3) + 30
    (supports, opposes), _ = terms((told.sum_supporting, told.sum_opposing), told.total)
    against, speaking = (evidence(told, names, supports=sign) for sign in (False, True))
    n_lines = max(len(wrapped(words, 22, wing, 3, bold=True)[0]) for words in (against, speaking))
    head = at + n_lines * line_height(22)
    canvas.block((centre - APART, at), against, 22, oppose_color, room=wing, most=3, bold=True, anchor="ra")
    words = f"{told.n_opposing:,} images, {opposes}"
    canvas.text((centre - APART, head), words, 20, oppose_color, room=wing, anchor="ra")
    right = centre + CENTRE + APART
    canvas.block((right, at), speaking, 22, support_color, room=wing, most=3, bold=True)
    canvas.text((right, head), f"{told.n_supporting:,} images, {supports}", 20, support_color, room=wing)

    labels = {part.label: wrapped(names[part.label], NAME, TILE, 2) for part in (*opposing, *supporting)}
    n_lines = max((len(lines) for lines, _ in labels.values()), default=1)
    value = head + line_height(20) + 14
    top = round(value + line_height(20) + n_lines * line_height(NAME) + 6)
    # the other rankings change no map on the test image, so there is nothing to tell pairs apart
    apart = told.rank == "sum"
    rows = 3 * TILE + 2 * GAP if apart else 2 * TILE + GAP
    side = (rows - GAP) // 2
    middle = (
        (None, "test image", "md"),
        ((own.test, full_scale(own.test)), "with its heat-map", "md"),
        ((all_opposing.test, full_scale(*(each.test for each in sides))), "all opposing together", "ma"),
        ((all_supporting.test, full_scale(*(each.test for each in sides))), "all supporting together", "ma"),
    )
    for place, (over, words, anchor) in enumerate(middle):
        left = centre + (CENTRE - 2 * side - GAP) // 2 + place % 2 * (side + GAP)
        above = top + place // 2 * (side + GAP)
        if over is None:
            canvas.original(drawn.test_image, left, above, side)
        else:
            layer = Image.fromarray(rgba(*over, colours))
            canvas.covered(drawn.test_image, layer, test_place, left, above, side)
        edge = top - 8 if anchor == "md" else top + rows + 8
        canvas.text((left + side / 2, edge), words, NAME, FAINT, room=side, anchor=anchor)

    def column(part: Contribution, left: int, color: Color) -> None:
        pair, image, middle = drawn.pairs[part.index], drawn.train_images[part.index], left + TILE / 2
        canvas.text((middle, value), signed(told.value(part)), 20, color, room=TILE, bold=True, anchor="ma")
        below = value + line_height(20)
        canvas.block((middle, below), names[part.label], NAME, color, room=TILE, most=2, anchor="ma")
        train_place = place_of(dimensions(image), drawn.preprocessing)
        canvas.covered(image, painted(pair.train, full_scale(pair.train)), train_place, left, top, TILE)
        canvas.original(image, left, top + TILE + GAP, TILE)
        if apart:
            # on the scale of the pair's own map, so that nothing is seen where there is no difference
            rest = difference(pair, all_supporting if part.attribution > 0 else all_opposing)
            layer = painted(rest, full_scale(pair.test))
            canvas.covered(drawn.test_image, layer, test_place, left, top + 2 * (TILE + GAP), TILE)
        canvas.text((middle, top + rows + 8), f"#{part.index:,}", 16, FAINT, room=TILE, anchor="ma")
        if part.intercept:
            words = f"intercept {signed(part.intercept)}"
            canvas.text((middle, top + rows + 8 + line_height(16)), words, 16, FAINT, room=TILE, anchor="ma")

    for place, part in enumerate(opposing):
        column(part, centre - APART - TILE - place * (TILE + GAP), oppose_color)
    for place, part in enumerate(supporting):
        column(part, right + place * (TILE + GAP), support_color)

    foot = top + rows + (2 if told.intercept else 1) * line_height(16) + 28
    at = _named_sum(canvas, story, (MARGIN, foot), room, colours) + 14
    at = canvas.block((MARGIN, at), sum_in_words(told, names), 22, room=room, most=2, bold=True)
    if told.intercept:
        at = canvas.block((MARGIN, at), intercept_in_words(told.intercept), 18, room=room, most=2)
    at = canvas.block((MARGIN, at + 9), _footnote(story, one_scale), 18, FAINT, room=room, most=3)
    at = canvas.block(
        (MARGIN, at + 5), source_in_words(story.run_id, story.run_digest, told.c), 18, FAINT, room=room, most=3
    )
    canvas.end(at + MARGIN - 12)
    return canvas


def _named_sum(canvas: Canvas, story: Story, at: tuple[float, float], room: float, colours: Colours) -> float:
    """Draw the net of each strong label and what is left, each with a bar; return the bottom."""
    left, top = at
    summed = named_sum(story.by_class, story.classes, story.explanation.total)
    oppose, support = sign_colors(colours)
    sign = -1 if story.explanation.rank == "removal" else 1
    width = min(WIDEST_PART, room / (MOST_NAMED + 1))
    longest = max((abs(part.value) for part in summed.parts), default=0.0) or 1.0
    bar = top + line_height(20) + line_height(16) + 4
    for place, part in enumerate(summed.parts):
        x, color = left + place * width, support if sign * part.value > 0 else oppose
        canvas.text((x, top), part.text, 20, color, room=width - GAP, bold=True)
        canvas.text((x, top + line_height(20)), part.name, 16, FAINT, room=width - GAP)
        canvas.bar((x, bar, x + max(1.0, (width - GAP) * abs(part.value) / longest), bar + 10), color)
    return bar + 10


def _footnote(story: Story, one_scale: bool) -> str:
    told = story.explanation
    scale = "all pairs on one scale" if one_scale else "each pair's maps on their own scale"
    rows = "below: the training image"
    if told.rank == "sum":
        lower = "pixels of the test image on which it draws more, or less, than its side does on the whole"
        rows = f"middle: the training image; bottom: {lower}"
    words = f"Top: pixels that matter in the training image; {rows}; {scale}; no colour where it is zero."
    return " ".join(filter(None, (words, ranking_in_words(told))))


def _subtitle(story: Story) -> str:
    told, names = story.explanation, story.classes
    ranking = "" if told.rank == "sum" else f"training images by what {RANK_NAMES[told.rank]}"
    parts = (decision_in_words(told, names), filter_in_words(story.train_class, names), ranking)
    return f"Test image {told.test.index:,}: {' · '.join(filter(None, parts))}"


def card_canvas(story: Story, drawn: Drawn, *, colours: Colours = "red-blue") -> Canvas:
    """Draw the card of a shared link: the test image, the strongest two of each sign, the sum; 1200 × 630 pixels."""
    told, names = story.explanation, story.classes
    canvas = Canvas(*CARD_SIZE, question(told, names))
    oppose_color, support_color = sign_colors(colours)
    room = CARD_SIZE[0] - 96
    canvas.text((48, 36), question(told, names), 50, room=room - 240, bold=True)
    subtitle = _subtitle(story)
    canvas.text((48, 106), subtitle, 24, FAINT, room=room)

    tile, gap, top, centre = 186, 14, 206, 232

    def covered(encoded: bytes, relevance: Map, left: int, where: int, side: int) -> None:
        painted = Image.fromarray(rgba(relevance, full_scale(relevance), colours))
        canvas.covered(encoded, painted, place_of(dimensions(encoded), drawn.preprocessing), left, where, side)

    middle = (CARD_SIZE[0] - centre) // 2
    canvas.original(drawn.test_image, middle, top, centre)

    def wing(parts: Sequence[Contribution], first: int, step: int, color: Color) -> None:
        for place, part in enumerate([part for part in parts if part.index in drawn.train_images][:2]):
            left, below = first + place * step, top + (centre + tile) // 2
            covered(
                drawn.train_images[part.index], drawn.pairs[part.index].train, left, top + (centre - tile) // 2, tile
            )
            at = left + tile / 2
            canvas.text((at, below + 8), signed(told.value(part)), 24, color, room=tile, bold=True, anchor="ma")
            canvas.text((at, below + 40), names[part.label], 20, color, room=tile, anchor="ma")

    wing(told.opposing, middle - 44 - tile, -(tile + gap), oppose_color)
    wing(told.supporting, middle + centre + 44, tile + gap, support_color)
    half = middle - 44 - 48
    against, speaking = (evidence(told, names, supports=sign) for sign in (False, True))
    canvas.text((middle - 44, top - 22), against, 22, oppose_color, room=half, anchor="rs")
    canvas.text((middle + centre + 44, top - 22), speaking, 22, support_color, room=half, anchor="ls")

    _named_sum(canvas, story, (48, 478), room, colours)
    canvas.text((48, 562), sum_in_words(told, names), 26, room=room, bold=True)
    canvas.text((CARD_SIZE[0] - 48, 44), "DualXDA Explorer", 22, FAINT, room=220, anchor="ra")
    return canvas
