"""The figure of a pair: both images, each with its side of the relevance, what they add to the decision, the legend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xda.attribution.results import Explanation, PairRelevance
from xda.data.decoding import dimensions
from xda.data.geometry import Resizing, place_of
from xda.numerals import count, number, signed
from xda.present.canvas import FAINT, INK, PAPER, Canvas, Color, line_height, sign_colors
from xda.present.colour import OPACITY, ZERO, Colours, full_scale, layer_palette, rgba
from xda.present.pair_facts import PairFacts
from xda.present.words import (
    decision_in_words,
    intercept_in_words,
    label_in_words,
    pair_in_words,
    question,
    rank_in_words,
    source_in_words,
)

if TYPE_CHECKING:
    from xda.explanation.run import Explainer

SIDE, GAP, MARGIN = 440, 24, 48
"""Pixels: a picture, between two, around all."""
RAMP = (260, 18)
"""Size of the legend's ramp."""


@dataclass(frozen=True, slots=True)
class DrawnPair:
    """The pictures and maps of a pair's figure."""

    names: tuple[str, ...]
    """Names of the classes."""
    test_image: bytes
    """The encoded original."""
    train_image: bytes
    predicted: int
    """The network's class for the training image."""
    maps: PairRelevance
    preprocessing: Resizing
    source: str
    """Names the run and its C."""

    @classmethod
    def of(cls, explainer: Explainer, told: Explanation, maps: PairRelevance) -> DrawnPair:
        """Take the originals to a result of ``relevance``."""
        train = maps.train_index
        return cls(
            names=tuple(explainer.classes),
            test_image=explainer.image("test", told.test.index)[0],
            train_image=explainer.image("train", train)[0],
            predicted=explainer.predicted("train", train),
            maps=maps,
            preprocessing=explainer.preprocessing,
            source=source_in_words(explainer.id, explainer.digest, told.c),
        )


def pair_canvas(
    facts: PairFacts, told: Explanation, drawn: DrawnPair, *, colours: Colours = "red-blue", one_scale: bool = False
) -> Canvas:
    """Draw a pair on a canvas, which ``xda.present.figure_files`` paints.

    Parameters
    ----------
    facts : PairFacts
    told : Explanation
        Of the test image.
    drawn : DrawnPair
    colours : {"red-blue", "orange-purple"}
    one_scale : bool
        Both maps on one scale rather than each on its own.
    """
    names, test = drawn.names, told.test
    heading = f"Test image {count(test.index)} and training image {count(facts.train)}"
    canvas = Canvas(2 * MARGIN + 2 * SIDE + GAP, 2000, f"{heading}: {question(told, names)}")
    room = canvas.width - 2 * MARGIN
    oppose, support = sign_colors(colours)
    color = support if facts.attribution > 0 else oppose if facts.attribution < 0 else INK
    canvas.text((MARGIN, 36), heading, 34, room=room, bold=True)
    subtitle = f"{question(told, names)} {decision_in_words(told, names)}"
    at = canvas.block((MARGIN, 84), subtitle, 20, FAINT, room=room, most=3) + 16
    rank = rank_in_words(facts, told.rank)
    verdict = f"{signed(facts.attribution)}: the training image {pair_in_words(facts, told, names)}"
    words = f"{verdict}, {rank}" if rank else verdict
    at = canvas.block((MARGIN, at), words, 24, color, room=room, most=3, bold=True)
    at = canvas.block((MARGIN, at), _parts(facts, told), 18, FAINT, room=room, most=3) + 18

    scale = full_scale(drawn.maps.test, drawn.maps.train) if one_scale else None
    columns = (
        (f"Test image {count(test.index)}", test.label, test.predicted, drawn.test_image, drawn.maps.test),
        (f"Training image {count(facts.train)}", facts.label, drawn.predicted, drawn.train_image, drawn.maps.train),
    )
    below = at
    for place, (name, label, predicted, _, _) in enumerate(columns):
        left = MARGIN + place * (SIDE + GAP)
        canvas.text((left, at), name, 20, room=SIDE, bold=True)
        line = label_in_words(names, label, predicted)
        below = max(below, canvas.block((left, at + line_height(20)), line, 18, FAINT, room=SIDE, most=2))
    top = round(below + 8)
    for place, (_, _, _, image, relevance) in enumerate(columns):
        left = MARGIN + place * (SIDE + GAP)
        canvas.original(image, left, top, SIDE)
        painted = _painted(relevance, scale, colours)
        where = place_of(dimensions(image), drawn.preprocessing)
        canvas.covered(image, painted, where, left, top + SIDE + GAP, SIDE)
    at = _legend(canvas, top + 2 * SIDE + GAP + 18, one_scale, colours)
    at = canvas.block((MARGIN, at + 12), drawn.source, 16, FAINT, room=room, most=2)
    canvas.end(at + MARGIN - 16)
    return canvas


def _painted(relevance: NDArray[np.float32], scale: float | None, colours: Colours) -> Image.Image:
    return Image.fromarray(rgba(relevance, full_scale(relevance) if scale is None else scale, colours))


def _parts(facts: PairFacts, told: Explanation) -> str:
    """Return the two factors of the contribution and what belongs to it."""
    weight = "α" if told.against is None else "α difference"
    parts = []
    if facts.weight is not None and facts.product is not None:
        parts.append(f"{weight} {number(facts.weight)} × ⟨z, φ(x)⟩ {number(facts.product)}")
    if facts.intercept:
        parts.append(intercept_in_words(facts.intercept))
    if facts.at_bound:
        parts.append("weight at its maximum: inside the margin or misclassified")
    total = f"all training images together add up to the surrogate’s logit, {number(told.surrogate_logit)}"
    return "; ".join([*parts, total])


def _legend(canvas: Canvas, top: int, one_scale: bool, colours: Colours) -> float:
    """Draw the ramp from opposition to support over paper; return the top of the next line."""
    left, (width, height) = MARGIN, RAMP
    oppose, support = sign_colors(colours)
    canvas.text((left, top), "opposes", 18, oppose, room=100)
    start = left + 100
    table = layer_palette(colours, OPACITY)
    for entry in range(0, 2 * ZERO + 1, 2):
        # each reaches to the end, so that no paper shows between two
        x = start + width * entry / (2 * ZERO + 1)
        canvas.bar((x, top + 3, start + width, top + 3 + height), _on_paper(table[entry]))
    canvas.text((start + width + 12, top), "supports", 18, support, room=100)
    scale = "both maps on one scale" if one_scale else "each map on its own scale"
    words = f"No colour: no relevance; {scale}."
    left = start + width + 124
    return canvas.block((left, top), words, 18, FAINT, room=canvas.width - MARGIN - left, most=2)


def _on_paper(entry: NDArray[np.uint8]) -> Color:
    alpha = float(entry[3]) / 255
    red, green, blue = (
        round(alpha * int(level) + (1 - alpha) * paper) for level, paper in zip(entry[:3], PAPER, strict=True)
    )
    return red, green, blue
