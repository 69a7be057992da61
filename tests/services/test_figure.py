"""The figure and the card: their size, their places, their colours."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from xda.services import colormap, figure
from xda.services.colormap import Colours
from xda.services.explorer import Explainer
from xda.services.story import Story, tell
from xda.services.views import PairRelevance
from xda.vision.preprocessing import Preprocessing


def flat(split: int) -> bytes:
    """Return a small encoded image of one grey."""
    buffer = io.BytesIO()
    Image.new("L", (8, 8), split).save(buffer, "PNG")
    return buffer.getvalue()


def material(story: Story) -> dict[str, object]:
    """Return images of one grey each and maps that are full support everywhere on one half."""
    told = story.explanation
    listed = [part.index for part in (*told.supporting, *told.opposing)]
    relevance = np.zeros((8, 8), dtype=np.float32)
    relevance[:, :4] = 1.0
    return {
        "test_image": flat(40),
        "train_images": {index: flat(90) for index in listed},
        "own_map": relevance,
        "pairs": {index: PairRelevance(index, relevance, -relevance, 0.0) for index in listed},
        "preprocessing": Preprocessing(mode="L", size=(8, 8), mean=(0.0,), std=(1.0,)),
    }


def pixels(content: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="module")
def told(explainer: Explainer) -> Story:
    return tell(explainer, 14, against=9, limit=3)


def test_card_has_the_size_that_chat_programs_want(told: Story) -> None:
    assert pixels(figure.card_png(told, **material(told))).shape == (630, 1200, 3)  # type: ignore[arg-type]


def test_card_of_a_decision_that_nothing_opposes(explainer: Explainer) -> None:
    told = tell(explainer, 14, limit=0)
    assert pixels(figure.card_png(told, **material(told))).shape == (630, 1200, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("colours", colormap.COLOURS)
def test_figure_shows_every_map_in_full_colour(told: Story, colours: Colours) -> None:
    image = pixels(figure.explanation_png(told, **material(told), colours=colours))  # type: ignore[arg-type]
    table = colormap.palette(colours)
    n = len(told.explanation.supporting) + len(told.explanation.opposing)
    assert n > 2
    # train-side maps are opposition on their left half, test-side maps support: 80 x 160 pixels each
    for entry in (table[0], table[-1]):
        assert (image == entry).all(axis=2).sum() >= n * 80 * 160
    assert (image == 90).all(axis=2).sum() >= n * 160 * 160 - 1000


def test_figure_on_one_scale_pales_the_weaker_maps(told: Story) -> None:
    given = material(told)
    pairs = given["pairs"]
    assert isinstance(pairs, dict)
    weak = next(iter(pairs))
    pairs[weak] = PairRelevance(weak, pairs[weak].test * 0.5, pairs[weak].train * 0.5, 0.0)
    half = colormap.palette()[colormap.levels(np.full((1, 1), 0.5, np.float32), 1.0)[0, 0]]
    own = pixels(figure.explanation_png(told, **given))  # type: ignore[arg-type]
    shared = pixels(figure.explanation_png(told, **given, one_scale=True))  # type: ignore[arg-type]
    assert (own == half).all(axis=2).sum() == 0
    assert (shared == half).all(axis=2).sum() >= 80 * 160


def test_words(told: Story) -> None:
    assert figure.question(told) == "Why 4 and not 9?"
    assert figure.decision_in_words(told).startswith("label 4 · network ")
    assert "the surrogate’s logit for 4 minus that for 9" in figure.sum_in_words(told)


def test_figure_is_written_from_the_command_line(explainer: Explainer, tmp_path: Path) -> None:
    path = tmp_path / "why.png"
    figure.write_explanation_png(explainer, path, test=14, target=4, against=9, limit=2)
    image = pixels(path.read_bytes())
    assert image.shape[1] > image.shape[0] > 600
