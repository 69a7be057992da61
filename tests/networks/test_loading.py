"""Tests of xda.networks.loading: a network is loaded from its checkpoint for a build, and from a run again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from xda.errors import ConfigError, DataError
from xda.networks.checkpoints import save_weights
from xda.networks.heads import Classifier
from xda.networks.loading import load_network, open_network
from xda.networks.presets import get_preset
from xda.networks.spec import NetworkSpec, build_network

SMALL = {"mode": "RGB", "size": [32, 32], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
RESNET = NetworkSpec("resnet18", 3, "torchvision")

MODULE = """
import torch
from torch import nn

def network(n_classes, dtype="float32"):
    torch.manual_seed(n_classes)
    made = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, n_classes))
    return made.to(getattr(torch, dtype))

def too_many():
    return network(7)
"""


@pytest.fixture
def factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "my_networks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "my_networks:network"
    sys.modules.pop("my_networks", None)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_weights(build_network(RESNET), tmp_path / "resnet18.safetensors")
    return tmp_path / "resnet18.safetensors"


def test_open_network_of_stored_parts_gives_the_same_network(checkpoint: Path) -> None:
    loaded = load_network(RESNET, checkpoint, SMALL)
    assert loaded.spec == replace(RESNET, head="fc")
    assert loaded.n_features == 512
    assert loaded.n_parameters == sum(value.numel() for value in build_network(RESNET).parameters())
    again = open_network(NetworkSpec.from_dict(loaded.spec.to_dict()), loaded.weights(), "run")
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(again(images), loaded.classifier(images))
    assert isinstance(again, Classifier)
    assert not again.training


def test_load_network_twice_gives_the_same_bytes(checkpoint: Path) -> None:
    assert load_network(RESNET, checkpoint, SMALL).weights() == load_network(RESNET, checkpoint, SMALL).weights()


def test_load_network_of_a_preset_is_unchanged(tmp_path: Path) -> None:
    spec = NetworkSpec("mnist-cnn", 10)
    save_weights(build_network(spec), tmp_path / "x")
    loaded = load_network(spec, tmp_path / "x", {})
    assert loaded.spec == spec
    assert loaded.preprocessing == get_preset("mnist-cnn").preprocessing


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"size": (224, 224), "resize": 256, "interpolation": "bilinear"}),
        ({"interpolation": "bicubic"}, {"size": (224, 224), "resize": 256, "interpolation": "bicubic"}),
        ({"size": [64, 64]}, {"size": (64, 64), "resize": None}),
        ({"size": [64, 64], "resize": 70}, {"size": (64, 64), "resize": 70}),
        ({"mean": [0.1, 0.2, 0.3]}, {"mean": (0.1, 0.2, 0.3), "std": (0.229, 0.224, 0.225)}),
    ],
)
def test_given_preprocessing_replaces_the_models_own_transform(
    checkpoint: Path, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    preprocessing = load_network(RESNET, checkpoint, given).preprocessing
    assert {key: getattr(preprocessing, key) for key in expected} == expected


def test_load_network_of_a_factory_takes_its_weights_and_needs_a_preprocessing(factory: str) -> None:
    spec = NetworkSpec(factory, 3, "factory")
    with pytest.raises(ConfigError, match=r"without a preprocessing; give mode, std in \[network.preprocessing\]"):
        load_network(spec, None, {"size": [32, 32], "mean": [0.5] * 3})
    loaded = load_network(spec, None, SMALL)
    assert loaded.spec.head == "4"
    again = open_network(loaded.spec, loaded.weights(), "run", ["my_networks"])
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(again(images), loaded.classifier(images))


def test_load_network_of_another_precision_converts_it_to_float32(factory: str) -> None:
    loaded = load_network(NetworkSpec(factory, 3, "factory", {"dtype": "bfloat16"}), None, SMALL)
    assert {value.dtype for value in loaded.classifier.parameters()} == {torch.float32}


def test_load_network_for_other_classes_or_images_is_refused(factory: str, checkpoint: Path) -> None:
    with pytest.raises(ConfigError, match=r"has the shape \(2, 7\), but there are 3 classes"):
        load_network(NetworkSpec("my_networks:too_many", 3, "factory"), None, SMALL)
    with pytest.raises(ConfigError, match="cannot take images of 1 × 32 × 32"):
        load_network(RESNET, checkpoint, {"mode": "L", "size": [32, 32], "mean": [0.5], "std": [0.5]})
    with pytest.raises(DataError, match=r"\(3, 512\) in the file and \(4, 512\) in the network|of another shape"):
        load_network(replace(RESNET, n_classes=4), checkpoint, SMALL)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_load_network_with_weights_not_finite_names_them(tmp_path: Path, value: float) -> None:
    spec = NetworkSpec("mnist-cnn", 10)
    network = build_network(spec)
    with torch.no_grad():
        network.get_parameter("11.bias")[3] = value
    save_weights(network, tmp_path / "x")
    with pytest.raises(DataError, match=r"x hold values that are not finite .* first in '11.bias'"):
        load_network(spec, tmp_path / "x", {})


def test_load_network_with_a_named_head_takes_it(factory: str) -> None:
    loaded = load_network(NetworkSpec(factory, 3, "factory", head="4"), None, SMALL)
    assert isinstance(loaded.classifier, Classifier)
    assert loaded.classifier.head == "4"
    for head, reason in (("fc", "no layer 'fc'"), ("0", "'0' is Conv2d")):
        with pytest.raises(ConfigError, match=reason):
            load_network(NetworkSpec(factory, 3, "factory", head=head), None, SMALL)
    with pytest.raises(ConfigError, match="'4' tells 7 classes apart, but there are 3"):
        load_network(NetworkSpec("my_networks:too_many", 3, "factory", head="4"), None, SMALL)


def test_open_network_without_its_factory_names_the_module(factory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_network(NetworkSpec(factory, 3, "factory"), None, SMALL)
    sys.modules.pop("my_networks")
    monkeypatch.setattr(sys, "path", sys.path[1:])
    with pytest.raises(ConfigError, match="needs the Python module 'my_networks'"):
        open_network(loaded.spec, loaded.weights(), "run", ["my_networks"])


def test_load_network_returns_it_in_eval_mode(factory: str) -> None:
    network: nn.Module = load_network(NetworkSpec(factory, 3, "factory"), None, SMALL).classifier
    assert not any(module.training for module in network.modules())
