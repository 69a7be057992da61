"""Tests of xda.networks.zoo: models of torchvision and timm have their makers' head and preprocessing."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.data.test_preprocessing import encode, noise
from xda.errors import ConfigError
from xda.networks.heads import Classifier, check_head, find_head, split_head
from xda.networks.zoo import build_foreign, own_preprocessing

CASES = [
    ("torchvision", "resnet18", "fc", 512),
    ("torchvision", "mobilenet_v3_small", "classifier.3", 1024),
    ("torchvision", "googlenet", "fc", 1024),
    ("torchvision", "densenet121", "classifier", 1024),
    ("timm", "test_resnet", "fc", 96),
    ("timm", "test_vit", "head", 64),
    ("timm", "resnetv2_50x1_bit", "head.fc", 2048),
]
"""Kind, name, head and number of features; the last one's head is a 1 x 1 convolution."""


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name", "head", "n_features"), CASES)
def test_split_head_of_known_models_finds_the_head(kind: str, name: str, head: str, n_features: int) -> None:
    torch.manual_seed(0)
    network = build_foreign(kind, name, 4, {}).eval()
    preprocessing = own_preprocessing(kind, name, network)
    assert preprocessing is not None
    images = torch.randn(2, preprocessing.channels, *preprocessing.size)
    assert find_head(network, images, 4) == head
    classifier = Classifier(network, head)
    phi, linear = split_head(classifier)
    with torch.inference_mode():
        features = phi(images)
        check_head(classifier, linear, features, images)
    assert features.shape == (2, n_features)


def test_find_head_of_squeezenet_or_distilled_transformer_is_refused() -> None:
    squeezenet = build_foreign("torchvision", "squeezenet1_1", 4, {})
    with pytest.raises(ConfigError, match="A ReLU stands between"):
        find_head(squeezenet, torch.randn(2, 3, 64, 64), 4)
    distilled = build_foreign("timm", "deit_tiny_distilled_patch16_224", 4, {"img_size": 32})
    with pytest.raises(ConfigError, match="adds several heads"):
        find_head(distilled, torch.randn(2, 3, 32, 32), 4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "vit_b_16", "inception_v3", "efficientnet_b1", "convnext_tiny"])
@pytest.mark.parametrize("shape", [(300, 470), (500, 333), (200, 200)])
def test_own_preprocessing_of_torchvision_equals_its_transform(name: str, shape: tuple[int, int]) -> None:
    from torchvision.models import get_model_weights

    preprocessing = own_preprocessing("torchvision", name, nn.Identity())
    assert preprocessing is not None
    image = noise(*shape)
    expected = get_model_weights(name).DEFAULT.transforms()(image)
    np.testing.assert_allclose(preprocessing.array([encode(image)])[0], expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["test_resnet", "efficientnet_lite0", "resnet18.a1_in1k", "test_vit"])
@pytest.mark.parametrize("shape", [(300, 470), (200, 200)])
def test_own_preprocessing_of_timm_equals_its_transform(name: str, shape: tuple[int, int]) -> None:
    network = build_foreign("timm", name, 4, {})
    preprocessing = own_preprocessing("timm", name, network)
    assert preprocessing is not None
    image: Image.Image = noise(*shape)
    data = importlib.import_module("timm.data")
    expected = data.create_transform(**data.resolve_model_data_config(network))(image)
    np.testing.assert_allclose(preprocessing.array([encode(image)])[0], expected.numpy(), rtol=1e-5, atol=1e-6)


def test_own_preprocessing_with_an_unknown_step_is_refused() -> None:
    network = build_foreign("timm", "test_resnet", 4, {})
    config: Any = network.pretrained_cfg
    config["crop_mode"] = "border"
    with pytest.raises(ConfigError, match=r"crop mode 'border'.*\[network.preprocessing\]"):
        own_preprocessing("timm", "test_resnet", network)
    config.update(crop_mode="squash", crop_pct=1.0)
    followed = own_preprocessing("timm", "test_resnet", network)
    assert followed is not None
    assert followed.resize is None


def test_own_preprocessing_of_a_factory_is_none() -> None:
    assert own_preprocessing("factory", "package:network", nn.Identity()) is None


@pytest.mark.parametrize(
    ("kind", "name", "arguments", "reason"),
    [
        ("torchvision", "resnet19", {}, r"no classification model 'resnet19'; did you mean 'resnet1.*\?$"),
        ("torchvision", "fcn_resnet50", {}, "no classification model"),
        ("torchvision", "resnet18", {"width": 2}, "argument 'width' is not supported for models of torchvision"),
        ("torchvision", "resnet18", {"width_mult": 2}, "unexpected keyword argument 'width_mult'"),
        ("timm", "resnet18", {"url": "http://x"}, "argument 'url' is not supported for models of timm"),
        ("torchvision", "resnet18", {"weights": "DEFAULT"}, "'weights' cannot be given"),
        ("timm", "resnet19", {}, r"timm has no model 'resnet19'; did you mean .*\?$"),
        ("timm", "hf-hub:somebody/something", {}, "timm has no model"),
        ("timm", "test_resnet", {"checkpoint_path": "/etc/passwd"}, "'checkpoint_path' cannot be given"),
        ("timm", "test_resnet", {"pretrained": True}, "'pretrained' cannot be given"),
        ("keras", "resnet", {}, "no network kind 'keras'"),
    ],
)
def test_build_foreign_with_a_mistake_names_it(kind: str, name: str, arguments: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        build_foreign(kind, name, 4, arguments)


def test_build_foreign_without_timm_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"pip install 'dualxda-explorer\[timm\]'"):
        build_foreign("timm", "test_resnet", 4, {})
