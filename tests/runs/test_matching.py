"""Matching of the training images of two runs, and refusal of runs that cannot be compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.explanation import variants
from tests.world import N_TEST, N_TRAIN, World, make_split
from xda.attribution.alignment import NOWHERE
from xda.errors import InvalidRequestError
from xda.explanation.run import Explainer
from xda.runs import matching
from xda.runs.matching import match_runs
from xda.storage.run.folder import RunFolder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("variants")


@pytest.fixture(scope="module")
def shuffled(world: World, folder: Path) -> tuple[RunFolder, NDArray[np.int64]]:
    dataset, kept = variants.shuffled(world)
    return RunFolder.open(variants.build(world, dataset, folder, "digits-shuffled")), kept


@pytest.fixture(scope="module")
def other_tests(world: World, folder: Path) -> RunFolder:
    """A run with the same test images in another order, but for the first."""
    order = np.array([0, *range(N_TEST - 1, 0, -1)])
    test = world.dataset.test
    split = make_split(test.labels[order], variants.pixels(test)[order])
    return RunFolder.open(variants.build(world, replace(world.dataset, test=split), folder, "digits-turned"))


def test_match_run_with_itself_is_by_run(explainer: Explainer) -> None:
    found = match_runs(explainer.run, explainer.run, 0)
    assert (found.by, found.n_common, found.forward, found.backward) == ("run", N_TRAIN, None, None)


def test_match_two_checkpoints_is_by_data(explainer: Explainer, retrained: Explainer) -> None:
    assert explainer.digest != retrained.digest
    found = match_runs(explainer.run, retrained.run, 0)
    assert (found.by, found.n_common, found.forward, found.backward) == ("data", N_TRAIN, None, None)


def test_match_corrected_labels_is_by_images(world: World, folder: Path, explainer: Explainer) -> None:
    run = RunFolder.open(variants.build(world, variants.relabelled(world), folder, "digits-relabelled"))
    assert run.manifest.dataset.fingerprint != explainer.run.manifest.dataset.fingerprint
    found = match_runs(explainer.run, run, 0)
    assert (found.by, found.n_common, found.forward) == ("images", N_TRAIN, None)


def test_match_removed_images_is_by_content(
    explainer: Explainer, shuffled: tuple[RunFolder, NDArray[np.int64]]
) -> None:
    run, kept = shuffled
    found = match_runs(explainer.run, run, 0)
    assert (found.by, found.n_common) == ("content", len(kept))
    assert found.forward is not None
    assert found.backward is not None
    assert found.backward.tolist() == kept.tolist()
    expected = np.full(N_TRAIN, NOWHERE)
    expected[kept] = np.arange(len(kept))
    assert found.forward.tolist() == expected.tolist()
    for index in (int(kept[0]), int(kept[-1])):
        assert run.image("train", int(found.forward[index])) == explainer.run.image("train", index)


def test_match_equal_images_keeps_their_order(world: World, folder: Path) -> None:
    images = variants.pixels(world.dataset.train)
    first, second = np.array([*range(50), 3, 3]), np.array([3, *range(50), 3])
    labels = world.dataset.train.labels
    runs = []
    for name, order in (("digits-one", first), ("digits-two", second)):
        dataset = replace(world.dataset, train=make_split(labels[order], images[order]))
        runs.append(RunFolder.open(variants.build(world, dataset, folder, name)))
    found = match_runs(runs[0], runs[1], 0)
    assert found.n_common == 52
    assert found.forward is not None
    assert found.forward[[3, 50, 51]].tolist() == [0, 4, 51]
    assert found.forward[[2, 4]].tolist() == [3, 5]


def test_match_other_test_image_is_refused(explainer: Explainer, other_tests: RunFolder) -> None:
    assert match_runs(explainer.run, other_tests, 0).by == "images"
    with pytest.raises(InvalidRequestError, match=r"test image 1 of the one is not that of the other"):
        match_runs(explainer.run, other_tests, 1)


def test_match_other_classes_is_refused(world: World, folder: Path, explainer: Explainer) -> None:
    names = ("zero", *world.dataset.classes[1:])
    run = RunFolder.open(variants.build(world, replace(world.dataset, classes=names), folder, "digits-named"))
    with pytest.raises(InvalidRequestError, match="have different classes"):
        match_runs(explainer.run, run, 0)


def test_match_without_common_image_is_refused(world: World, folder: Path, explainer: Explainer) -> None:
    split = make_split(world.dataset.train.labels, 255 - variants.pixels(world.dataset.train))
    run = RunFolder.open(variants.build(world, replace(world.dataset, train=split), folder, "digits-negative"))
    with pytest.raises(InvalidRequestError, match="no training image in common"):
        match_runs(explainer.run, run, 0)


def test_match_too_many_images_is_refused(
    explainer: Explainer, shuffled: tuple[RunFolder, NDArray[np.int64]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "MOST_BYTES", 1000)
    matching._by_content.cache_clear()
    with pytest.raises(InvalidRequestError, match="too many to be matched by content"):
        match_runs(explainer.run, shuffled[0], 0)
