"""The figure in the authors' layout: its content, places and colours, for a run and a model in memory."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pypdfium2
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

import xda
from tests.explanation.notebooks import NamedDataset, make_model, make_tensors
from tests.present.test_png_figure import NAMES
from tests.world import C_VALUES, World
from xda.attribution.results import UNLABELLED
from xda.data.preprocessing import Preprocessing
from xda.errors import ConfigError, NotFoundError
from xda.explanation.illustration import Panel, displayable, run_panel
from xda.explanation.model import ModelExplainer
from xda.explanation.run import Explainer
from xda.present.colour import full_scale, rgba
from xda.present.matplotlib_figure import draw
from xda.progress import silent

TEST, AGAINST, LIMIT = 14, 9, 3


@pytest.fixture(scope="module")
def panel(explainer: Explainer) -> Panel:
    return run_panel(explainer, explainer.decide(TEST, against=AGAINST), limit=LIMIT)


@pytest.fixture(scope="module")
def drawn(panel: Panel) -> Figure:
    return draw(panel)


@pytest.fixture(scope="module")
def in_memory(world: World) -> ModelExplainer:
    train_set = NamedDataset(*make_tensors(world.dataset.train), world.dataset.classes)
    return xda.explain(make_model(world), train_set, c=C_VALUES, progress=silent)


def pictures(axes: list[Axes]) -> list[np.ndarray]:
    return [np.asarray(axis.images[0].get_array()) for axis in axes if axis.images]


def layers(axes: list[Axes]) -> list[np.ndarray]:
    """Return the heat-maps that lie over images."""
    return [np.asarray(axis.images[1].get_array()) for axis in axes if len(axis.images) > 1]


def columns(figure: Figure, wing: int) -> list[list[Axes]]:
    """Return the axes of one wing by column, from left to right, each from top to bottom."""
    axes = figure.subfigs[wing].axes
    return [axes[k :: len(axes) // 3] for k in range(len(axes) // 3)]


@pytest.mark.parametrize(("wing", "side"), [(0, "opposing"), (2, "supporting")])
def test_figure_training_image_is_between_its_maps(drawn: Figure, panel: Panel, wing: int, side: str) -> None:
    parts = getattr(panel.explanation, side)
    found = columns(drawn, wing)
    in_order = parts[::-1] if side == "opposing" else parts
    assert len(found) == len(in_order) == LIMIT
    for column, part in zip(found, in_order, strict=True):
        pair = panel.pairs[part.index]
        upper, image, lower = pictures(column)
        train_map, test_map = layers(column)
        np.testing.assert_array_equal(upper, panel.train_images[part.index])
        np.testing.assert_array_equal(train_map, rgba(pair.train, full_scale(pair.train)))
        np.testing.assert_array_equal(image, panel.train_images[part.index])
        np.testing.assert_array_equal(lower, panel.test_image)
        np.testing.assert_array_equal(test_map, rgba(pair.test, full_scale(pair.test)))
        title = column[0].get_title()
        assert panel.classes[part.label] in title
        assert title.startswith("+" if part.attribution > 0 else "−")


def test_figure_test_image_and_own_map_are_in_the_middle(drawn: Figure, panel: Panel) -> None:
    image, below = pictures(drawn.subfigs[1].axes)
    np.testing.assert_array_equal(image, panel.test_image)
    np.testing.assert_array_equal(below, panel.test_image)
    (own,) = layers(drawn.subfigs[1].axes)
    np.testing.assert_array_equal(own, rgba(panel.own_map, full_scale(panel.own_map)))


def test_figure_of_cropped_image_lays_the_map_over_the_seen_part(panel: Panel) -> None:
    wide = np.zeros((28, 56, 3), np.uint8)
    cropped = Preprocessing(mode="L", size=(28, 28), mean=(0.0,), std=(1.0,), resize=28)
    figure = draw(replace(panel, test_image=wide, resizing=cropped))
    own = figure.subfigs[1].axes[1]
    assert tuple(own.images[1].get_extent()) == (13.5, 41.5, 27.5, -0.5)
    assert own.get_xlim() == (-0.5, 55.5)


def test_figure_states_question_and_sum(drawn: Figure, panel: Panel) -> None:
    told = panel.explanation
    assert drawn.get_suptitle() == f"Why {panel.classes[told.target]} and not {AGAINST}?"
    assert f"minus that for {AGAINST}" in drawn.get_supxlabel().replace("\n", " ")
    assert f"{told.n_opposing:,} images" in drawn.subfigs[0].get_suptitle()
    assert drawn.subfigs[2].get_suptitle().startswith("Evidence for")
    assert "label" in drawn.subfigs[1].get_suptitle()


def test_figure_support_is_red_and_right(drawn: Figure) -> None:
    left, right = (drawn.subfigs[k]._suptitle.get_color() for k in (0, 2))  # type: ignore[attr-defined]
    assert left[2] > left[0]
    assert right[0] > right[2]


def test_figure_one_scale_covers_all_pairs(panel: Panel) -> None:
    scale = full_scale(*(side for pair in panel.pairs.values() for side in (pair.test, pair.train)))
    figure = draw(panel, one_scale=True)
    (part, *_) = panel.explanation.supporting
    found = layers(columns(figure, 2)[0])[0]
    np.testing.assert_array_equal(found, rgba(panel.pairs[part.index].train, scale))


def test_figure_without_contributions_is_drawn(panel: Panel) -> None:
    told = replace(
        panel.explanation, supporting=(), opposing=(), test=replace(panel.explanation.test, label=UNLABELLED)
    )
    figure = draw(replace(panel, explanation=told))
    figure.draw_without_rendering()
    assert "label" not in figure.subfigs[1].get_suptitle()
    assert [axis for axis in figure.subfigs[0].axes if axis.images] == []


def texts_of(figure: Figure) -> list[tuple[str, tuple[float, float, float, float]]]:
    """Return every text of a drawn figure with its box, left, bottom, right, top in pixels."""
    figure.draw_without_rendering()
    found = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_visible()]
    return [(text.get_text(), text.get_window_extent().extents) for text in found if text.get_text().strip()]


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("limit", [1, 2, 4])
def test_figure_long_names_do_not_overlap(explainer: Explainer, names: str, limit: int) -> None:
    panel = run_panel(explainer, explainer.decide(TEST, against=AGAINST), limit=limit)
    told = replace(
        panel.explanation,
        sum_supporting=4660.69612,
        sum_opposing=-4660.0,
        surrogate_logit=0.69612,
        n_supporting=100_000,
        n_opposing=100_000,
    )
    figure = draw(replace(panel, classes=NAMES[names], explanation=told))
    texts = texts_of(figure)
    assert len(texts) > 6
    for (one, first), (other, second) in combinations(texts, 2):
        across = min(first[2], second[2]) - max(first[0], second[0])
        up = min(first[3], second[3]) - max(first[1], second[1])
        assert min(across, up) <= 1, (one, other)
    for words, (left, bottom, right, top) in texts:
        assert left >= -1, words
        assert bottom >= -1, words
        assert right <= figure.bbox.width + 1, words
        assert top <= figure.bbox.height + 1, words


def test_figure_saved_as_vectors_keeps_its_text(drawn: Figure) -> None:
    drawing, paper = io.BytesIO(), io.BytesIO()
    drawn.savefig(drawing, format="svg")
    drawn.savefig(paper, format="pdf")
    root = ElementTree.fromstring(drawing.getvalue())
    assert drawn.get_suptitle() in {each.text for each in root.iter("{http://www.w3.org/2000/svg}text")}
    document = pypdfium2.PdfDocument(paper.getvalue())
    assert drawn.get_suptitle() in document[0].get_textpage().get_text_range()
    document.close()


def test_figure_in_notebook_opens_no_window(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # windows are pyplot's: with it absent, none can open
    with Image.open(io.BytesIO(draw(panel)._repr_png_())) as image:  # type: ignore[attr-defined]
        assert image.width > image.height > 300


def test_figure_of_run_equals_figure_of_model(explainer: Explainer, in_memory: ModelExplainer, world: World) -> None:
    images, labels = make_tensors(world.dataset.test)
    asked = {"c": C_VALUES[1], "against": AGAINST, "limit": 2}
    stored = xda.figure(explainer, TEST, **asked)  # type: ignore[arg-type]
    mine = xda.figure(in_memory, images[TEST], label=int(labels[TEST]), **asked)  # type: ignore[arg-type]
    for wing in (0, 1, 2):
        titles = [[axis.get_title() for axis in figure.subfigs[wing].axes] for figure in (stored, mine)]
        assert [t.split("\n")[-1] for t in titles[0]] == [t.split("\n")[-1] for t in titles[1]]
    assert stored.get_suptitle() == mine.get_suptitle()
    assert stored.subfigs[1].get_suptitle() == mine.subfigs[1].get_suptitle()


def test_figure_show_function_is_used(in_memory: ModelExplainer, world: World) -> None:
    images, _ = make_tensors(world.dataset.test)
    panel = in_memory.panel(images[0], limit=1, show=lambda pixels: pixels[0] * 0 + 0.25)
    assert (panel.test_image == 0.25).all()
    assert all((image == 0.25).all() for image in panel.train_images.values())


def test_displayable_stretches_to_black_and_white() -> None:
    pixels = torch.randn(3, 4, 5).numpy()
    shown = displayable(pixels)
    assert shown.shape == (4, 5, 3)
    assert (shown.min(), shown.max()) == (0, 1)
    assert displayable(pixels[:2]).shape == (4, 5)
    assert not displayable(np.full((1, 2, 2), 7.0)).any()


def test_figure_errors_are_those_of_the_explainer(explainer: Explainer) -> None:
    with pytest.raises(NotFoundError, match="test image 10000"):
        xda.figure(explainer, 10_000)


def test_figure_without_matplotlib_names_the_install_command(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigError, match=r"pip install 'dualxda-explorer\[notebook\]'"):
        draw(panel)
