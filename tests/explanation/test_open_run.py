"""An open run to look through: galleries, neighbours, images by number or source, and what its record says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.world import C_VALUES, World
from xda.errors import NotFoundError
from xda.explanation.gallery import GalleryFilter
from xda.explanation.open_run import OpenRun
from xda.storage.run.folder import RunFolder


@pytest.fixture(scope="module")
def opened(run_path: Path) -> OpenRun:
    return OpenRun(RunFolder.open(run_path))


def test_open_run_has_labels_images_and_features_of_its_data(opened: OpenRun, world: World) -> None:
    np.testing.assert_array_equal(opened.train_labels, world.dataset.train.labels)
    assert opened.label("test", 14) == world.dataset.test.labels[14]
    assert opened.predicted("test", 14) == opened.outcomes.logits["test"][14].argmax()
    assert (len(opened.train_features), len(opened.test_features)) == (opened.n_train, opened.n_test) == (600, 120)
    content, media_type = opened.image("train", 3)
    assert (media_type, content[:4]) == ("image/png", b"\x89PNG")
    assert opened.left_out == ()


def test_gallery_and_neighbours_follow_the_filter(opened: OpenRun) -> None:
    fours = GalleryFilter(label=4)
    page = opened.gallery(fours, limit=3)
    assert [item.index for item in page.items] == [4, 14, 24]
    assert page.total == 12
    assert opened.neighbours(14, fours) == (4, 24)
    assert opened.neighbours(4, fours) == (None, 14)
    assert opened.neighbours(14) == (13, 15)


def test_record_of_a_surrogate_is_found_by_its_c(opened: OpenRun) -> None:
    for c in C_VALUES:
        assert opened.entry(c).c == opened.certificate(c).C == c
        assert opened.fidelity(c=c) == opened.entry(c).agreement
    assert opened.default_c == opened.entry().c
    assert opened.fidelity() == max(entry.agreement for entry in opened.surrogates)


@pytest.mark.parametrize(
    "ask",
    [
        lambda run: run.image("test", 120),
        lambda run: run.label("train", -1),
        lambda run: run.predicted("train", 600),
        lambda run: run.source("test", 120),
        lambda run: run.find("train", "600"),
        lambda run: run.entry(0.5),
        lambda run: run.neighbours(120),
        lambda run: run.gallery(GalleryFilter(label=10)),
    ],
)
def test_image_class_or_c_that_is_not_there_is_not_found(opened: OpenRun, ask: Callable[[OpenRun], object]) -> None:
    with pytest.raises(NotFoundError):
        ask(opened)


def test_find_takes_a_number_and_representation_names_the_run(opened: OpenRun) -> None:
    assert opened.find("test", "17") == 17
    assert repr(opened) == ("<OpenRun of run 'digits': 600 training and 120 test images, 10 classes; C = 0.0001, 0.01>")
