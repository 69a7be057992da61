"""``xda build --check`` predicts the build and writes nothing."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.build.foreign import make_config, make_dataset, write_checkpoint
from tests.world import World
from xda.build import check
from xda.build.check import check_build
from xda.build.pipeline import build_run
from xda.errors import ConfigError, DataError, XdaError
from xda.networks.spec import NetworkSpec, build_network
from xda.storage.run.folder import RunFolder


def test_check_predicts_the_worlds_run(world: World, tmp_path: Path) -> None:
    outlook = check_build(world.config, world.dataset, tmp_path / "deep" / "run", device="cpu")
    manifest = RunFolder.open(world.run).manifest
    assert list(tmp_path.iterdir()) == []
    assert outlook.problems == outlook.warnings == ()
    assert outlook.n_features == manifest.counts.features
    assert outlook.heatmaps.startswith(manifest.composite)
    assert outlook.head == "11"
    for split in ("train", "test"):
        labels = getattr(world.dataset, split).labels
        assert outlook.counts[split].tolist() == np.bincount(labels, minlength=10).tolist()
    assert outlook.n_tried == 120
    assert outlook.n_right / 120 == pytest.approx(manifest.network.accuracy)
    written = sum(entry.bytes for entry in manifest.files.values())
    assert 0.5 * written < outlook.disk_bytes < 3 * written
    assert outlook.memory_bytes > 1e8
    assert 0 < outlook.feature_seconds < 60
    assert 0 < outlook.surrogate_seconds < 60


def test_check_lines_name_the_figures(world: World) -> None:
    text = "\n".join(check_build(world.config, world.dataset, device="cpu").lines())
    n_parameters = sum(value.numel() for value in build_network(NetworkSpec("mnist-cnn", 10)).parameters())
    for words in (
        "600 training and 120 test images of Drawn digits, 10 classes",
        f"preset mnist-cnn, {n_parameters:,} parameters",
        "100, before the last linear layer '11'",
        "grey, to 28 × 28",
        "EpsilonPlusFlat",
        "of 120 test images are classified as labelled",
        "memory          about",
        "disk            about",
        "(measured)",
    ):
        assert words in text
    assert len([line for line in text.splitlines() if line.endswith(tuple(f"  {k}" for k in range(10)))]) == 10


def test_check_lines_show_both_names_of_classes(world: World) -> None:
    names = ["nought", *world.dataset.classes[1:]]
    text = "\n".join(check_build(world.config, world.dataset.with_classes(names), device="cpu").lines())
    assert "12  nought  (in the data set: 0)\n" in text
    assert "12  1\n" in text


def test_check_lines_shorten_many_classes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "MOST_CLASSES", 4)
    outlook = check_build(world.config, world.dataset, device="cpu")
    text = "\n".join(outlook.lines())
    assert "… 6 more classes, each with at least as many training images" in text
    assert f"{outlook.counts['train'].min():>9,}" in text


def test_check_names_problems_that_stop_the_build(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.where(world.dataset.train.labels == 9, 8, world.dataset.train.labels)
    dataset = replace(world.dataset, train=replace(world.dataset.train, labels=labels))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    problems = check_build(world.config, dataset, tmp_path / "run", device="cpu").problems
    assert problems[0] == "class '9' has no training image; leave it out of the data set"
    assert re.search(r"the disk of .* has 1 kB free", problems[1])
    assert len(problems) == 2


def test_check_refuses_like_the_build(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        check_build(make_config({"torchvision": "resnet18", "checkpoint": tmp_path / "x.pt"}), make_dataset())
    with pytest.raises(ConfigError, match="did you mean"):
        check_build(make_config({"torchvision": "resnet19", "checkpoint": Path(__file__)}), make_dataset())


def test_check_and_build_refuse_overflowing_network(tmp_path: Path) -> None:
    spec = NetworkSpec("resnet18", 3, "torchvision")
    path = write_checkpoint(spec, tmp_path / "x.pt")
    state = torch.load(path, weights_only=True)["state_dict"]
    state["conv1.weight"][:] = 3e38
    torch.save(state, path)
    config = make_config({"torchvision": "resnet18", "checkpoint": path, "head": "fc"}, size=[24, 24])
    with pytest.raises(ConfigError, match="The network's output is not finite"):
        check_build(config, make_dataset())
    preset = make_config({"preset": "mnist-cnn", "checkpoint": tmp_path / "cnn.pt"})
    network = build_network(NetworkSpec("mnist-cnn", 3))
    with torch.no_grad():
        next(network.parameters())[:] = 3e38
    torch.save(network.state_dict(), tmp_path / "cnn.pt")
    with pytest.raises(XdaError, match="not finite"):
        check_build(preset, make_dataset())
    with pytest.raises(XdaError, match="not finite"):
        build_run(preset, make_dataset(), tmp_path / "run")


@pytest.mark.slow
def test_build_without_heatmaps_records_the_reason(tmp_path: Path) -> None:
    arguments = {"image_size": 32}
    spec = NetworkSpec("vit_b_32", 3, "torchvision", arguments)
    network = {
        "torchvision": "vit_b_32",
        "arguments": arguments,
        "checkpoint": write_checkpoint(spec, tmp_path / "vit.pt"),
    }
    outlook = check_build(make_config(network, size=[32, 32]), make_dataset(), device="cpu")
    assert outlook.heatmaps.startswith("none. Heat-maps are not available for this network")
    assert outlook.head == "heads.head"
    assert outlook.problems == ()
