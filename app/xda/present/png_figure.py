"""PNG pictures of an explanation: the figure in the layout of the paper, and the card for chat programs.

In: a story, the original images and the heat-maps. Out: a canvas. The layout is that of the authors (method
section 4): the test image and its own heat-map in the middle, opposing training images to the left, supporting ones to
the right, strongest next to the centre; above each training image its side of the relevance, below it the test image's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xda.attribution.results import Contribution, PairRelevance
from xda.data.decoding import dimensions
from xda.data.geometry import Resizing, place_of
from xda.decision import Decision
from xda.numerals import signed, terms
from xda.present.canvas import FAINT, Canvas, Color, line_height, sign_colors, wrapped
from xda.present.colour import Colours, full_scale, rgba
from xda.present.story import Story
from xda.present.words import (
    RANK_NAMES,
    decision_in_words,
    evidence,
    filter_in_words,
    intercept_in_words,
    question,
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
    own_map: Map
    """The test image's own heat-map, shape (H, W)."""
    pairs: Mapping[int, PairRelevance]
    """By training image."""
    preprocessing: Resizing
    """Says which part of an original its heat-map covers."""

    @classmethod
    def of(
        cls, explainer: Explainer, decision: Decision, own: Sequence[PairRelevance], pairs: Sequence[PairRelevance]
    ) -> Drawn:
        """Take the originals to the results of ``own_relevance`` and ``relevance``."""
        return cls(
            test_image=explainer.image("test", decision.test)[0],
            train_images={pair.train_index: explainer.image("train", pair.train_index)[0] for pair in pairs},
            own_map=own[0].test,
            pairs={pair.train_index: pair for pair in pairs},
            preprocessing=explainer.preprocessing,
        )


TILE, GAP, MARGIN, CENTRE, APART = 160, 16, 48, 344, 56
"""Pixels: a training image, between two, around all, the middle, and on both sides of it."""
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

    def painted(relevance: Map) -> Image.Image:
        return Image.fromarray(rgba(relevance, full_scale(relevance) if shared is None else shared, colours))

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
    rows = 3 * TILE + 2 * GAP
    side = (rows - GAP) // 2
    inset = centre + (CENTRE - side) // 2
    canvas.original(drawn.test_image, inset, top, side)
    own = Image.fromarray(rgba(drawn.own_map, full_scale(drawn.own_map), colours))
    canvas.covered(drawn.test_image, own, test_place, inset, top + side + GAP, side)
    words = "test image; below: with its heat-map"
    canvas.text((centre + CENTRE / 2, top - 8), words, NAME, FAINT, room=CENTRE, anchor="md")

    def column(part: Contribution, left: int, color: Color) -> None:
        pair, image, middle = drawn.pairs[part.index], drawn.train_images[part.index], left + TILE / 2
        canvas.text((middle, value), signed(told.value(part)), 20, color, room=TILE, bold=True, anchor="ma")
        below = value + line_height(20)
        canvas.block((middle, below), names[part.label], NAME, color, room=TILE, most=2, anchor="ma")
        train_place = place_of(dimensions(image), drawn.preprocessing)
        canvas.covered(image, painted(pair.train), train_place, left, top, TILE)
        canvas.original(image, left, top + TILE + GAP, TILE)
        canvas.covered(drawn.test_image, painted(pair.test), test_place, left, top + 2 * (TILE + GAP), TILE)
        canvas.text((middle, top + rows + 8), f"#{part.index:,}", 16, FAINT, room=TILE, anchor="ma")
        if part.intercept:
            words = f"intercept {signed(part.intercept)}"
            canvas.text((middle, top + rows + 8 + line_height(16)), words, 16, FAINT, room=TILE, anchor="ma")

    for place, part in enumerate(opposing):
        column(part, centre - APART - TILE - place * (TILE + GAP), oppose_color)
    for place, part in enumerate(supporting):
        column(part, right + place * (TILE + GAP), support_color)

    foot = top + rows + (2 if told.intercept else 1) * line_height(16) + 28
    sums = told.sum_supporting, told.sum_opposing, told.total
    if told.rank == "removal":
        sums = -sums[0], -sums[1], -sums[2]
    canvas.balance(*sums, colours, (MARGIN, foot, width - MARGIN, foot + 36))
    at = canvas.block((MARGIN, foot + 54), sum_in_words(told, names), 22, room=room, most=2, bold=True)
    if told.intercept:
        at = canvas.block((MARGIN, at), intercept_in_words(told.intercept), 18, room=room, most=2)
    at = canvas.block((MARGIN, at + 9), _footnote(story, one_scale), 18, FAINT, room=room, most=3)
    at = canvas.block(
        (MARGIN, at + 5), source_in_words(story.run_id, story.run_digest, told.c), 18, FAINT, room=room, most=3
    )
    canvas.end(at + MARGIN - 12)
    return canvas


def _footnote(story: Story, one_scale: bool) -> str:
    scale = "all pairs on one scale" if one_scale else "each map on its own scale"
    return (
        "Top: relevance on the training image; middle: the training image; bottom: the pair's relevance on the test "
        f"image; {scale}; no colour where it is zero."
    )


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

    sums = told.sum_supporting, told.sum_opposing, told.total
    if told.rank == "removal":
        sums = -sums[0], -sums[1], -sums[2]
    canvas.balance(*sums, colours, (48, 500, CARD_SIZE[0] - 48, 532))
    canvas.text((48, 556), sum_in_words(told, names), 26, room=room, bold=True)
    canvas.text((CARD_SIZE[0] - 48, 44), "DualXDA Explorer", 22, FAINT, room=220, anchor="ra")
    return canvas
