"""Tests of xda.networks.spec: a run's description of its network, and the network built from it."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from xda.errors import ConfigError
from xda.networks.presets import PRESETS, get_preset
from xda.networks.spec import NetworkSpec, build_network, default_preprocessing


@pytest.mark.parametrize("name", PRESETS)
def test_build_network_of_a_preset_accepts_its_own_images(name: str) -> None:
    preset = get_preset(name)
    network = build_network(NetworkSpec(name, 7)).eval()
    images = torch.zeros((2, preset.preprocessing.channels, *preset.preprocessing.size))
    assert preset.name == name
    assert network(images).shape == (2, 7)


def test_build_network_for_mnist_is_the_papers(network: nn.Module) -> None:
    shapes = [tuple(value.shape) for value in network.parameters() if value.ndim > 1]
    assert shapes == [(5, 1, 3, 3), (10, 5, 3, 3), (5, 10, 3, 3), (500, 2420), (100, 500), (10, 100)]


def test_build_network_of_an_unknown_preset_or_too_few_classes_is_refused() -> None:
    with pytest.raises(ConfigError, match="known are: mnist-cnn"):
        build_network(NetworkSpec("alexnet", 10))
    with pytest.raises(ConfigError, match="at least 2 classes"):
        build_network(NetworkSpec("mnist-cnn", 1))


@pytest.mark.parametrize(
    "spec",
    [
        NetworkSpec("mnist-cnn", 10),
        NetworkSpec("resnet18", 3, "torchvision", {"zero_init_residual": True}, "fc"),
        NetworkSpec("package.model:network", 3, "factory"),
    ],
)
def test_from_dict_of_to_dict_restores_the_spec(spec: NetworkSpec) -> None:
    assert NetworkSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_to_dict_of_a_preset_is_that_of_older_runs() -> None:
    assert NetworkSpec("mnist-cnn", 10).to_dict() == {"preset": "mnist-cnn", "n_classes": 10}


@pytest.mark.parametrize(
    "values",
    [
        {"preset": "mnist-cnn"},
        {"n_classes": 10},
        {"preset": "mnist-cnn", "n_classes": "many"},
        {"preset": "mnist-cnn", "timm": "resnet18", "n_classes": 10},
        {"timm": "resnet18", "n_classes": 10, "arguments": 3},
    ],
)
def test_from_dict_of_something_else_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="needs n_classes and one of preset, torchvision, timm, factory"):
        NetworkSpec.from_dict(values)


def test_default_preprocessing_of_a_preset_is_its_own() -> None:
    spec = NetworkSpec("mnist-cnn", 10)
    assert default_preprocessing(spec, build_network(spec)) == get_preset("mnist-cnn").preprocessing
