"""Tests of xda.networks.transfer and of trainings that start from it: a tiny network stands for EfficientNet-Lite0."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from tests.bars import CPU, extract
from xda.build.config import BuildConfig, DataTable, NetworkTable, RunTable, SurrogateTable
from xda.build.pipeline import build_run
from xda.data.dataset import ImageDataset
from xda.decision import Split
from xda.errors import ConfigError
from xda.networks import presets, training, transfer
from xda.networks.checkpoints import load_weights, read_metadata, save_weights
from xda.networks.heads import split_head
from xda.networks.presets import Preset, get_preset
from xda.networks.spec import NetworkSpec, build_network
from xda.progress import silent
from xda.storage.run import layout

NAME = "clothing-efficientnet-lite0"


@pytest.fixture(autouse=True)
def preset(monkeypatch: pytest.MonkeyPatch) -> Preset:
    """Give the preset MNIST's small network and images, and "ImageNet's weights" drawn with a seed."""
    small = get_preset("mnist-cnn")
    recipe = replace(small.recipe, epochs=2, peak_lr=5e-4)
    made = replace(get_preset(NAME), build=small.build, preprocessing=small.preprocessing, recipe=recipe)
    monkeypatch.setattr(presets, "PRESETS", {**presets.PRESETS, NAME: made})

    def fill(network: nn.Module) -> None:
        generator = torch.Generator().manual_seed(7)
        for parameter in list(network.parameters())[:-2]:
            nn.init.normal_(parameter, std=0.1, generator=generator)

    monkeypatch.setattr(transfer, "fill_all_but_head", fill)
    return made


def transferred(preset: Preset, dataset: ImageDataset, kept: Path | None) -> transfer.Transferred:
    return transfer.transfer(preset, dataset, kept, device=CPU, progress=silent)


def test_transfer_fits_the_head_on_the_networks_own_features(preset: Preset, bars: ImageDataset) -> None:
    made = transferred(preset, bars, None)
    features, logits = extract(made.network, preset.preprocessing, bars.train, device=CPU, progress=silent)
    np.testing.assert_allclose(made.train_features, features, atol=1e-6)
    np.testing.assert_allclose(made.head.logits(features), logits, atol=1e-3)
    assert (logits.argmax(axis=1) == bars.train.labels).mean() > 0.6
    # no test image is looked at
    other = transferred(preset, replace(bars, test=bars.train), None)
    np.testing.assert_array_equal(other.head.weight, made.head.weight)


def test_features_are_computed_once(
    preset: Preset, bars: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = transferred(preset, bars, tmp_path)
    (file,) = tmp_path.iterdir()
    with monkeypatch.context() as patch:
        patch.delattr(transfer, "extract_batches")
        again = transferred(preset, bars, tmp_path)
    np.testing.assert_array_equal(again.train_features, first.train_features)
    # half a file is no features
    file.write_bytes(file.read_bytes()[:500])
    np.testing.assert_array_equal(transferred(preset, bars, tmp_path).train_features, first.train_features)
    # other images, another preprocessing
    transferred(preset, replace(bars, train=bars.test), tmp_path)
    brighter = replace(preset, preprocessing=replace(preset.preprocessing, mean=(0.2,)))
    transferred(brighter, bars, tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def config(checkpoint: Path) -> BuildConfig:
    return BuildConfig(
        run=RunTable(id="bars"),
        data=DataTable(name="mnist"),
        network=NetworkTable(preset=NAME, checkpoint=checkpoint),
        surrogate=SurrogateTable(c=(1e-3,)),
    )


@pytest.mark.slow
def test_build_with_known_features_writes_the_same_run(preset: Preset, bars: ImageDataset, tmp_path: Path) -> None:
    made = transferred(preset, bars, None)
    save_weights(made.network, tmp_path / "weights")
    # a difference that rounding could make tells whose features are written
    known: dict[Split, NDArray[np.float32]] = {"train": made.train_features * np.float32(1 + 1e-6)}
    asked = config(tmp_path / "weights")
    runs = [
        build_run(asked, bars, tmp_path / "with", device="cpu", features=known),
        build_run(asked, bars, tmp_path / "without", device="cpu"),
    ]
    np.testing.assert_array_equal(runs[0].array(layout.features("train")), known["train"])
    for name in (layout.features("train"), layout.logits("train"), layout.features("test")):
        np.testing.assert_allclose(runs[0].array(name), runs[1].array(name), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_build_with_features_of_another_network_is_refused(preset: Preset, bars: ImageDataset, tmp_path: Path) -> None:
    made = transferred(preset, bars, None)
    save_weights(made.network, tmp_path / "weights")
    known: dict[Split, NDArray[np.float32]] = {"train": made.train_features + np.float32(1)}
    with pytest.raises(ConfigError, match="after its last linear layer"):
        build_run(config(tmp_path / "weights"), bars, tmp_path / "run", device="cpu", features=known)


@pytest.mark.slow
def test_training_starts_from_the_fitted_head_and_says_what_it_gains(
    preset: Preset, bars: ImageDataset, tmp_path: Path
) -> None:
    made = transferred(preset, bars, None)
    _, head = split_head(made.network)
    logits = extract(made.network, preset.preprocessing, bars.test, device=CPU, progress=silent)[1]
    fitted = float((logits.argmax(axis=1) == bars.test.labels).mean())
    path = tmp_path / "weights"
    first = training.train(NAME, bars, path, device=CPU, progress=silent)
    assert first.fitted_accuracy == fitted
    network = build_network(NetworkSpec(NAME, 10))
    load_weights(network, path)
    moved = (split_head(network)[1].weight - head.weight).norm() / head.weight.norm()
    assert 1e-4 < moved < 0.3
    again = training.train(NAME, bars, path, device=CPU, progress=silent)
    assert again == replace(first, seconds=0.0)


@pytest.mark.slow
def test_stopped_training_ends_in_the_same_weights(bars: ImageDataset, tmp_path: Path) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if stage == "Training" and done == total - 1:
            raise KeyboardInterrupt

    broken, straight = tmp_path / "broken", tmp_path / "straight"
    with pytest.raises(KeyboardInterrupt):
        training.train(NAME, bars, broken, device=CPU, progress=stop)
    kept = read_metadata(tmp_path / "broken.unfinished")
    assert (kept["epoch"], float(kept["fitted_accuracy"]) > 0.3) == ("1", True)
    for path in (broken, straight):
        training.train(NAME, bars, path, device=CPU, progress=silent)
    assert broken.read_bytes() == straight.read_bytes()
