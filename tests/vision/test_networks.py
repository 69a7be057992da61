"""Tests of xda.vision.networks."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from xda.errors import ConfigError, DataError
from xda.vision.networks import (
    PRESETS,
    NetworkSpec,
    build_network,
    get_preset,
    load_weights,
    read_metadata,
    save_weights,
    split_head,
)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_takes_its_own_images(name: str) -> None:
    preset = get_preset(name)
    network = build_network(NetworkSpec(name, 7)).eval()
    images = torch.zeros((2, preset.preprocessing.channels, *preset.preprocessing.size))
    assert preset.name == name
    assert network(images).shape == (2, 7)


def test_the_network_for_mnist_is_the_papers(network: nn.Module) -> None:
    shapes = [tuple(value.shape) for value in network.parameters() if value.ndim > 1]
    assert shapes == [(5, 1, 3, 3), (10, 5, 3, 3), (5, 10, 3, 3), (500, 2420), (100, 500), (10, 100)]


@pytest.mark.parametrize("name", PRESETS)
def test_head_and_features_make_up_the_network(name: str) -> None:
    preset = get_preset(name)
    network = build_network(NetworkSpec(name, 10)).eval()
    before = list(network.state_dict())
    phi, head = split_head(network)
    images = torch.randn((3, preset.preprocessing.channels, *preset.preprocessing.size))
    with torch.inference_mode():
        features = phi(images)
        torch.testing.assert_close(head(features), network(images))
    assert features.shape == (3, head.in_features)
    assert list(network.state_dict()) == before
    assert {value.data_ptr() for value in phi.parameters()} < {value.data_ptr() for value in network.parameters()}


def test_features_of_the_papers_network_follow_a_relu(network: nn.Module) -> None:
    phi, head = split_head(network)
    assert head.in_features == 100
    assert (phi(torch.randn(4, 1, 28, 28)) >= 0).all()


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Flatten(), nn.ReLU()),
        nn.Sequential(nn.Linear(4, 3), nn.Conv2d(1, 2, 3)),
        nn.Sequential(nn.Linear(4, 3), nn.Conv2d(2, 2, 1, groups=2)),
        nn.Linear(4, 3),
        nn.Sequential(OrderedDict(body=nn.Linear(4, 3), norm=nn.BatchNorm1d(3))),
    ],
)
def test_a_network_without_a_linear_head_is_refused(network: nn.Module) -> None:
    with pytest.raises(ConfigError, match="must be linear"):
        split_head(network)


def test_unknown_presets_and_too_few_classes_are_refused() -> None:
    with pytest.raises(ConfigError, match="known are: mnist-cnn"):
        build_network(NetworkSpec("alexnet", 10))
    with pytest.raises(ConfigError, match="at least 2 classes"):
        build_network(NetworkSpec("mnist-cnn", 1))


def test_a_spec_survives_its_dictionary() -> None:
    spec = NetworkSpec("mnist-cnn", 10)
    assert NetworkSpec.from_dict(spec.to_dict()) == spec
    with pytest.raises(ConfigError, match="needs n_classes and one of preset"):
        NetworkSpec.from_dict({"preset": "mnist-cnn"})
    with pytest.raises(ConfigError, match="needs n_classes and one of preset"):
        NetworkSpec.from_dict({"preset": "mnist-cnn", "n_classes": "many"})


def test_weights_survive_the_disk(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "weights.safetensors"
    save_weights(network, path, {"note": "of a test"})
    other = build_network(NetworkSpec("mnist-cnn", 10))
    load_weights(other, path)
    for name, value in network.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
    assert read_metadata(path) == {"note": "of a test"}


def test_the_same_weights_are_the_same_bytes(network: nn.Module, tmp_path: Path) -> None:
    save_weights(network, tmp_path / "a", {"x": "1", "y": "2", "z": "3"})
    save_weights(network, tmp_path / "b", {"x": "1", "y": "2", "z": "3"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_weights_of_another_network_are_refused_with_both_sides(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(network, path)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(DataError, match=r"0 tensor\(s\) missing, 0 unexpected, 2 of another shape \(first: '11"):
        load_weights(build_network(NetworkSpec("mnist-cnn", 7)), path)
    with pytest.raises(DataError, match="do not belong to this network"):
        load_weights(build_network(NetworkSpec("cifar10-resnet18", 10)), path)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_missing_and_damaged_weights_are_refused(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    with pytest.raises(DataError, match="are missing"):
        load_weights(network, path)
    assert read_metadata(path) == {}
    save_weights(network, path, {"note": "x"})
    for content in (b"", b"junk" * 100, path.read_bytes()[:5000]):
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot be read"):
            load_weights(network, path)
        assert read_metadata(path) == {}
