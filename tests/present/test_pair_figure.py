"""The figure of a pair: its texts, its pictures, and that nothing lies on anything else."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from tests.present.test_png_figure import NAMES, area, flat, over, overlap, pixels
from xda.attribution.results import Explanation, PairRelevance
from xda.explanation.run import Explainer
from xda.numerals import signed
from xda.present import colour
from xda.present.canvas import Bar, Picture
from xda.present.pair_facts import PairFacts, pair_facts
from xda.present.pair_figure import SIDE, DrawnPair, pair_canvas
from xda.present.raster import png
from xda.present.words import pair_in_words, rank_in_words

Told = tuple[PairFacts, Explanation, DrawnPair]


@pytest.fixture(scope="module")
def told(explainer: Explainer) -> Told:
    parts = explainer.decompose(explainer.decide(14, against=9))
    facts, explanation = pair_facts(explainer, parts, int(parts.index[0])), parts.explanation(0)
    relevance = np.zeros((8, 8), dtype=np.float32)
    relevance[:, :4] = 1.0
    maps = PairRelevance(facts.train, relevance, np.float32(-0.5) * relevance, 0.0)
    drawn = DrawnPair.of(explainer, explanation, maps)
    return facts, explanation, replace(drawn, test_image=flat(40), train_image=flat(90))


def test_pair_figure_shows_both_images_alone_and_under_their_maps(told: Told) -> None:
    image, table = pixels(png(pair_canvas(*told))), colour.layer_palette(opacity=colour.OPACITY)
    for grey, entry in ((40, table[-1]), (90, table[0])):
        assert area(image, over(grey, entry)) >= SIDE * SIDE // 2
        assert (image == grey).all(axis=2).sum() >= SIDE * SIDE * 1.5 - 1000


def test_pair_figure_on_one_scale_pales_the_weaker_map(told: Told) -> None:
    image = pixels(png(pair_canvas(*told, one_scale=True)))
    level = colour.levels(np.full((1, 1), -0.5, np.float32), 1.0)[0, 0]
    assert area(image, over(90, colour.layer_palette(opacity=colour.OPACITY)[level])) >= SIDE * SIDE // 2


def test_pair_figure_says_verdict_rank_labels_and_source(told: Told, explainer: Explainer) -> None:
    facts, explanation, drawn = told
    words = " ".join(each.words for each in pair_canvas(*told).texts)
    assert f"{signed(facts.attribution)}: the training image {pair_in_words(facts, explanation, drawn.names)}" in words
    assert "rather than 9" in words
    assert rank_in_words(facts) in words
    for name, label in (("Test image 14", explanation.test.label), (f"Training image {facts.train:,}", facts.label)):
        assert f"{name} label {drawn.names[label]}, network says" in words
    assert explainer.digest[:16] in words
    assert "each map on its own scale" in words
    assert "both maps on one scale" in " ".join(each.words for each in pair_canvas(*told, one_scale=True).texts)


def test_pair_figure_of_image_without_weight_says_that_it_adds_nothing(told: Told) -> None:
    facts, explanation, drawn = told
    facts = replace(facts, attribution=0.0, weight=0.0, product=None, rank=None, is_support=False)
    words = " ".join(each.words for each in pair_canvas(facts, explanation, drawn).texts)
    assert "has weight zero in the surrogate and adds nothing to" in words


@pytest.mark.parametrize("colours", colour.COLOURS)
def test_pair_legend_goes_from_opposition_to_support_through_paper(told: Told, colours: colour.Colours) -> None:
    ramp = [item.color for item in pair_canvas(*told, colours=colours).items if isinstance(item, Bar)]
    table = colour.layer_palette(colours, colour.OPACITY)
    for color, entry in ((ramp[0], table[0]), (ramp[-1], table[-1])):
        assert np.abs(np.array(color) - over(255, entry)).max() <= 1
    assert min(np.abs(np.array(color) - 255).max() for color in ramp) <= 10


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("intercept", [0.0, -0.00123])
def test_pair_figure_items_do_not_overlap_or_leave_the_page(told: Told, names: str, intercept: float) -> None:
    facts, explanation, drawn = told
    facts = replace(facts, train=1_234_567, at_bound=True, n_same_sign=123_456, intercept=intercept)
    canvas = pair_canvas(facts, explanation, replace(drawn, names=NAMES[names]))
    boxes = [(each.words, each.box) for each in canvas.texts] + [("a picture", box) for box in canvas.pictures]
    for (one, first), (other, second) in combinations(boxes, 2):
        assert not overlap(first, second), (one, other)
    for words, (left, top, right, bottom) in boxes:
        assert min(left, top, canvas.width - right, canvas.height - bottom) >= 0, words


def test_pair_figure_draws_four_pictures(told: Told) -> None:
    pictures = [item for item in pair_canvas(*told).items if isinstance(item, Picture)]
    assert [item.layer is None for item in pictures] == [True, False, True, False]
