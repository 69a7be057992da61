"""The figure and the card: their size, their places, their colours."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from xda.attribution.ranking import Rank
from xda.attribution.results import Contribution, PairRelevance
from xda.data.preprocessing import Preprocessing
from xda.explanation.run import Explainer
from xda.numerals import signed
from xda.present import canvas as canvas_module
from xda.present import colour, png_figure
from xda.present.canvas import Bar, Box, Canvas, Picture, sign_colors
from xda.present.colour import Colours
from xda.present.named_sum import named_sum
from xda.present.png_figure import Drawn
from xda.present.raster import png
from xda.present.story import Story, tell
from xda.present.words import RANK_NAMES, ranking_in_words


def flat(split: int) -> bytes:
    """Return a small encoded image of one grey."""
    buffer = io.BytesIO()
    Image.new("L", (8, 8), split).save(buffer, "PNG")
    return buffer.getvalue()


def material(story: Story) -> Drawn:
    """Return images of one grey each and maps that are full support everywhere on one half."""
    told = story.explanation
    listed = [part.index for part in (*told.supporting, *told.opposing)]
    relevance = np.zeros((8, 8), dtype=np.float32)
    relevance[:, :4] = 1.0
    return Drawn(
        test_image=flat(40),
        train_images={index: flat(90) for index in listed},
        evidence=[PairRelevance(-1, sign * relevance, 0 * relevance, 0.0) for sign in (np.float32(1), 1, -1)],
        pairs={index: PairRelevance(index, relevance, -relevance, 0.0) for index in listed},
        preprocessing=Preprocessing(mode="L", size=(8, 8), mean=(0.0,), std=(1.0,)),
    )


def pixels(content: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="module")
def told(explainer: Explainer) -> Story:
    return tell(explainer, explainer.decide(14, against=9), limit=3)


def test_card_has_the_size_that_chat_programs_want(told: Story) -> None:
    assert pixels(png(png_figure.card_canvas(told, material(told)))).shape == (630, 1200, 3)


def test_card_without_opposing_images_is_drawn(explainer: Explainer) -> None:
    told = tell(explainer, explainer.decide(14), limit=0)
    assert pixels(png(png_figure.card_canvas(told, material(told)))).shape == (630, 1200, 3)


def over(grey: int, entry: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return an entry of a layer over one grey."""
    alpha = entry[3] / 255
    return np.asarray(alpha * entry[:3] + (1 - alpha) * grey)


def area(image: NDArray[np.uint8], color: NDArray[np.float64]) -> int:
    """Count the pixels of a colour, to one level."""
    return int((np.abs(image - color) <= 1).all(axis=2).sum())


@pytest.mark.parametrize("colours", colour.COLOURS)
def test_figure_lays_every_map_over_its_image(told: Story, colours: Colours) -> None:
    image = pixels(png(png_figure.explanation_canvas(told, material(told), colours=colours)))
    table = colour.layer_palette(colours, colour.OPACITY)
    n = len(told.explanation.supporting) + len(told.explanation.opposing)
    assert n > 2
    # train-side maps are opposition on their left half, test-side maps support: 80 x 160 pixels each
    assert area(image, over(90, table[0])) >= n * 80 * 160
    assert area(image, over(40, table[-1])) >= n * 80 * 160
    # the images alone, and the right halves under a map of zeros
    assert (image == 90).all(axis=2).sum() >= n * (160 + 80) * 160 - 1000
    assert (image == 40).all(axis=2).sum() >= n * 80 * 160


def test_figure_on_one_scale_pales_the_weaker_maps(told: Story) -> None:
    given = material(told)
    weak, pair = next(iter(given.pairs.items()))
    given = replace(given, pairs={**given.pairs, weak: PairRelevance(weak, pair.test * 0.5, pair.train * 0.5, 0.0)})
    level = colour.levels(np.full((1, 1), 0.5, np.float32), 1.0)[0, 0]
    half = over(40, colour.layer_palette(opacity=colour.OPACITY)[level])
    own = pixels(png(png_figure.explanation_canvas(told, given)))
    shared = pixels(png(png_figure.explanation_canvas(told, given, one_scale=True)))
    assert area(own, half) == 0
    assert area(shared, half) >= 80 * 160


def test_figure_lower_row_shows_only_what_a_pair_differs_in(told: Story) -> None:
    """Pairs that are their share of the sum of their sign differ in nothing; on their own scale nothing is seen."""
    given = material(told)
    sums = (4.0, 4.0, -4.0)
    own, supporting, opposing = (replace(each, attribution=of) for each, of in zip(given.evidence, sums, strict=True))
    pairs = {
        part.index: replace(
            given.pairs[part.index], test=side.test * np.float32(0.25), attribution=side.attribution / 4
        )
        for parts, side in ((told.explanation.supporting, supporting), (told.explanation.opposing, opposing))
        for part in parts
    }
    canvas = png_figure.explanation_canvas(told, replace(given, evidence=(own, supporting, opposing), pairs=pairs))
    lower = [item for item in canvas.items if isinstance(item, Picture) and item.layer and item.side == png_figure.TILE]
    shown = [np.asarray(item.layer.painted)[..., 3].max() for item in lower if item.layer and item.encoded == flat(40)]
    assert shown == [0] * len(pairs)


def test_figure_centre_shows_plain_image_own_map_and_both_sums(told: Story) -> None:
    canvas = png_figure.explanation_canvas(told, material(told))
    pictures = [item for item in canvas.items if isinstance(item, Picture)]
    middle = [item for item in pictures if item.side != png_figure.TILE]
    assert [item.layer is not None for item in middle] == [False, True, True, True]
    _, _, opposing, supporting = middle
    assert opposing.left < supporting.left
    assert opposing.layer is not None
    # the sum of the opposing side is negative on its left half, so in the colour of opposition
    red, green, blue, _ = np.asarray(opposing.layer.painted)[0, 0]
    assert (red, green, blue) == colour.ends()[0]


@pytest.mark.parametrize("draw", [png_figure.explanation_canvas, png_figure.card_canvas])
def test_figure_sum_is_told_by_label_with_bars_of_its_net(told: Story, draw: Callable[..., Canvas]) -> None:
    canvas = draw(told, material(told))
    summed = named_sum(told.by_class, told.classes, told.explanation.surrogate_logit)
    words = [each.words for each in canvas.texts]
    for part in summed.parts:
        assert words[words.index(part.text) + 1] == part.name
    bars = [item for item in canvas.items if isinstance(item, Bar)]
    lengths = [item.box[2] - item.box[0] for item in bars]
    longest = max(abs(part.value) for part in summed.parts)
    assert lengths == pytest.approx([max(lengths) * abs(part.value) / longest for part in summed.parts], abs=1)
    oppose, support = sign_colors("red-blue")
    assert [item.color for item in bars] == [support if part.value > 0 else oppose for part in summed.parts]


@pytest.mark.parametrize("rank", ["image", "removal"])
def test_figure_of_other_ranking_says_so_and_has_no_lower_row(explainer: Explainer, rank: Rank) -> None:
    told = tell(explainer, explainer.decide(14, against=9), limit=2, rank=rank)
    canvas = png_figure.explanation_canvas(told, material(told))
    words = " ".join(each.words for each in canvas.texts)
    assert f"training images by what {RANK_NAMES[rank]}" in words
    assert ranking_in_words(told.explanation).split(":")[0][:40] in words
    assert "bottom:" not in words
    pictures = [item for item in canvas.items if isinstance(item, Picture)]
    assert len(pictures) == 4 + 2 * len(told.explanation.listed)
    for each in (*told.explanation.supporting, *told.explanation.opposing):
        assert signed(told.explanation.value(each)) in words


def test_black_under_zero_relevance_stays_black_in_figure_and_card(told: Story) -> None:
    given = replace(
        material(told), test_image=flat(0), train_images=dict.fromkeys(material(told).train_images, flat(0))
    )
    n = len(told.explanation.listed)
    figure = pixels(png(png_figure.explanation_canvas(told, given)))
    card = pixels(png(png_figure.card_canvas(told, given)))
    assert (figure == 0).all(axis=2).sum() >= n * 2 * 160 * 160
    assert (card == 0).all(axis=2).sum() >= 4 * 93 * 186


NAMES = {
    "digits": tuple("0123456789"),
    "nine letters": ("automobile", "submarine", "wheelchair", "crocodile", "butterfly", "orangutan", "spaghetti")
    + ("x",) * 3,
    "dog breeds": (
        "German short-haired pointer",
        "soft-coated wheaten terrier",
        "Chesapeake Bay retriever",
        "West Highland white terrier",
        "Staffordshire bull terrier",
        "black-and-tan coonhound of the northern mountains",
        "Rindfleischetikettierungsüberwachungsaufgabe",
        "x",
        "flat-coated retriever",
        "English foxhound",
    ),
}


def overlap(first: Box, second: Box) -> bool:
    """Return whether two boxes (left, top, right, bottom) have an area in common."""
    return min(first[2], second[2]) - max(first[0], second[0]) > 0 and min(first[3], second[3]) > max(
        first[1], second[1]
    )


def named(story: Story, names: tuple[str, ...], *, intercept: float = 0.0, logit: float | None = None) -> Story:
    """Return a story told with other names of the classes, large counts and numbers, and long numbers of images."""
    told = story.explanation

    def part(each: Contribution, k: int) -> Contribution:
        return replace(
            each, index=1_234_560 + 10 * k + each.label, intercept=intercept, attribution=each.attribution * 1000
        )

    told = replace(
        told,
        supporting=tuple(part(each, k) for k, each in enumerate(told.supporting)),
        opposing=tuple(part(each, k + 50) for k, each in enumerate(told.opposing)),
        intercept=intercept,
        n_supporting=100_000,
        n_opposing=100_000,
    )
    if logit is not None:
        told = replace(told, sum_supporting=4660.0 + logit, sum_opposing=-4660.0, surrogate_logit=logit)
    return replace(story, classes=names, explanation=told)


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("limit", [0, 1, 2, 6])
@pytest.mark.parametrize("draw", [png_figure.explanation_canvas, png_figure.card_canvas])
@pytest.mark.parametrize("intercept", [0.0, -0.00123])
def test_figure_items_do_not_overlap_or_leave_the_page(
    explainer: Explainer, names: str, limit: int, draw: Callable[..., Canvas], intercept: float
) -> None:
    story = named(
        tell(explainer, explainer.decide(14, against=9), limit=limit), NAMES[names], intercept=intercept, logit=0.69612
    )
    canvas = draw(story, material(story))
    boxes = [(each.words, each.box) for each in canvas.texts] + [("a picture", box) for box in canvas.pictures]
    boxes += [("a bar", item.box) for item in canvas.items if isinstance(item, Bar)]
    for (one, first), (other, second) in combinations(boxes, 2):
        assert not overlap(first, second), (one, other)
    for words, (left, top, right, bottom) in boxes:
        assert left >= 0, words
        assert top >= 0, words
        assert right <= canvas.width, words
        assert bottom <= canvas.height, words


def test_figure_names_every_training_image_by_number_attribution_and_class(told: Story) -> None:
    story = named(told, NAMES["nine letters"])
    words = [each.words for each in png_figure.explanation_canvas(story, material(story)).texts]
    for part in (*story.explanation.supporting, *story.explanation.opposing):
        assert f"#{part.index:,}" in words
        assert signed(part.attribution) in words
        assert story.classes[part.label] in words


def test_text_without_the_vendored_font_stays_in_its_room(
    monkeypatch: pytest.MonkeyPatch, told: Story, tmp_path: Path
) -> None:
    monkeypatch.setattr(canvas_module, "resource_dir", lambda _: tmp_path)
    canvas_module.font_of.cache_clear()
    try:
        story = named(told, NAMES["dog breeds"])
        canvas = png_figure.explanation_canvas(story, material(story))
    finally:
        monkeypatch.undo()
        canvas_module.font_of.cache_clear()
    for one, other in combinations([each.box for each in canvas.texts], 2):
        assert not overlap(one, other)


def test_figure_texts_equal_the_words(told: Story) -> None:
    words = [each.words for each in png_figure.card_canvas(told, material(told)).texts]
    assert "Why 4 and not 9?" in words
    assert any(each.startswith("Test image 14: label 4 · network ") for each in words)
    assert any("the surrogate’s logit for 4 minus that for 9" in each for each in words)
