"""Warnings: each suspicious build gets one, a sound build gets none."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

from tests.build.foreign import make_config, make_dataset
from tests.world import World
from xda.build.warnings import accuracy_warnings, configuration_warnings, warn
from xda.data.dataset import ReadOtherwise

FACTORY = {
    "factory": "my_networks:network",
    "preprocessing": {"mode": "RGB", "size": [24, 24], "mean": [0.5] * 3, "std": [0.5] * 3},
}


def test_warnings_of_sound_configuration_are_none(world: World) -> None:
    assert configuration_warnings(world.config, world.dataset) == []


def test_warnings_name_equal_splits(world: World) -> None:
    (warning,) = configuration_warnings(world.config, replace(world.dataset, test=world.dataset.train))
    assert "training and test images are the same" in warning


def test_warnings_name_classes_without_test_image(world: World) -> None:
    for most, words in ((9, "of class '9'"), (8, "of the classes '8', '9'"), (2, "'2', '3', '4', '5', '6' and 3 more")):
        test = replace(world.dataset.test, labels=np.minimum(world.dataset.test.labels, most - 1))
        (warning,) = configuration_warnings(world.config, replace(world.dataset, test=test))
        assert warning.endswith(words)


def test_warnings_name_factory_without_checkpoint() -> None:
    network = FACTORY | {"checkpoint": "x.pt"}
    preprocessing = network.pop("preprocessing")
    assert isinstance(preprocessing, dict)
    assert configuration_warnings(make_config(network, **preprocessing), make_dataset()) == []
    del network["checkpoint"]
    (warning,) = configuration_warnings(make_config(network, **preprocessing), make_dataset())
    assert "no checkpoint" in warning
    assert "'my_networks:network'" in warning


def test_warnings_count_images_that_torchvision_reads_differently(world: World) -> None:
    network = FACTORY | {"checkpoint": "x.pt"}
    preprocessing = network.pop("preprocessing")
    assert isinstance(preprocessing, dict)
    config, dataset = make_config(network, **preprocessing), make_dataset()
    some = replace(
        dataset,
        train=replace(dataset.train, otherwise=ReadOtherwise.of([f"{k}.jpg" for k in range(1_200)])),
        test=replace(dataset.test, otherwise=ReadOtherwise.of(["a.tif"])),
    )
    (warning,) = configuration_warnings(config, some)
    assert warning.startswith("1,201 image(s) are turned upright by their EXIF data, or hold grey of more than 8 bits")
    assert "0.jpg, 1.jpg, 2.jpg …. torchvision's ImageFolder does neither" in warning
    assert (
        configuration_warnings(
            world.config, replace(world.dataset, train=replace(world.dataset.train, otherwise=ReadOtherwise.of(["a"])))
        )
        == []
    )


@pytest.mark.parametrize("n_classes", [2, 4, 10])
def test_accuracy_of_guessing_or_constant_network_warns(n_classes: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(n_classes, 400, p=np.r_[0.7, np.full(n_classes - 1, 0.3 / (n_classes - 1))])
    for predicted in (np.zeros(400, np.int64), np.full(400, n_classes - 1), rng.permutation(labels)):
        (warning,) = accuracy_warnings(labels, predicted, n_classes)
        assert f"{(labels == predicted).sum()} of 400 test images" in warning


def test_accuracy_warning_counts_independent_guesses() -> None:
    labels = np.repeat([0, 1], [30, 10])
    (warning,) = accuracy_warnings(labels, np.zeros(40, np.int64), 2)
    assert "30 of 40" in warning
    assert "guessing would give about 30:" in warning


def test_accuracy_of_few_images_does_not_warn() -> None:
    for n, n_warnings in ((1, 0), (9, 0), (10, 1)):
        assert len(accuracy_warnings(np.arange(n) % 2, np.zeros(n, np.int64) + 1, 2)) == n_warnings


@pytest.mark.parametrize("n", [1, 2, 5, 400])
def test_accuracy_above_chance_does_not_warn(n: int) -> None:
    labels = np.arange(n) % 4
    assert accuracy_warnings(labels, labels, 4) == []


def test_accuracy_of_two_thirds_does_not_warn() -> None:
    labels = np.arange(400) % 4
    mostly = np.where(np.arange(400) % 3 == 0, 0, labels)
    assert accuracy_warnings(labels, mostly, 4) == []


def test_accuracy_below_most_frequent_class_warns() -> None:
    labels = np.repeat([0, 1], [320, 80])
    predicted = np.where(np.arange(400) % 5 < 2, 1 - labels, labels)
    predicted[320:] = 1
    assert (predicted == labels).mean() < 0.8
    (warning,) = accuracy_warnings(labels, predicted, 2)
    assert "272 of 400 test images are classified as labelled, and always guessing the most frequent class" in warning
    assert "would give 320:" in warning


@pytest.mark.parametrize("n_right", [320, 321, 360])
def test_accuracy_equal_to_most_frequent_class_does_not_warn(n_right: int) -> None:
    labels = np.repeat([0, 1], [320, 80])
    predicted = np.ones(400, np.int64)
    predicted[: n_right - 80] = 0
    assert (predicted == labels).sum() == n_right
    assert accuracy_warnings(labels, predicted, 2) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]},
            ["mean = [123.675, 116.28", "std = [58.395"],
        ),
        ({"mean": [123.675, 116.28, 103.53], "std": [1.0] * 3}, ["mean = [123.675, 116.28"]),
        ({"mean": [0.0] * 3, "std": [255.0] * 3}, ["std = [255, 255, 255]"]),
        ({"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}, []),
        ({"mean": [0.0] * 3, "std": [1.0] * 3}, []),
        ({"mean": [1.0] * 3, "std": [1 / 255] * 3}, []),
    ],
)
def test_warnings_find_mean_and_std_in_units_of_0_to_255(changes: dict[str, list[float]], words: list[str]) -> None:
    config = make_config(
        {"factory": "my_networks:network", "checkpoint": "x.pt"}, **{"mode": "RGB", "size": [24, 24]} | changes
    )
    warnings = configuration_warnings(config, make_dataset())
    assert len(warnings) == bool(words)
    for warning in warnings:
        assert all(word in warning for word in words)
        assert f"{'look' if len(words) > 1 else 'looks'} like units of 0 to 255; pixels are scaled" in warning
        assert "divide mean and std by 255" in warning


def test_warn_logs_warnings_and_plain_remark(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        warn(["this is odd"], remark="The network ends in a softmax.")
    assert caplog.messages == ["The network ends in a softmax.", "Warning: this is odd."]
