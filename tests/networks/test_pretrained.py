"""Tests of xda.networks.pretrained: weights come from the packages' caches, or a message says why not."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import safetensors.torch
import timm
import torch
from torch import nn
from torchvision import models
from torchvision.models import get_model_weights

from xda.errors import ConfigError, DataError
from xda.networks import pretrained
from xda.networks.loading import load_network, open_network
from xda.networks.pretrained import choose_weights
from xda.networks.spec import NetworkSpec, build_network

SMALL = {"size": [64, 64]}


def put_torchvision(
    monkeypatch: pytest.MonkeyPatch, home: Path, name: str, choice: str, n_classes: int, **arguments: Any
) -> tuple[nn.Module, Path]:
    """Put weights where torch.hub keeps them, as if they had been downloaded; return their network and file."""
    torch.manual_seed(7)
    network: nn.Module = models.get_model(name, num_classes=n_classes, **arguments)
    content = io.BytesIO()
    torch.save(network.state_dict(), content)
    weights = get_model_weights(name)[choice].value
    digest = hashlib.sha256(content.getvalue()).hexdigest()
    monkeypatch.setenv("TORCH_HOME", str(home))
    monkeypatch.setattr(weights, "url", f"https://download.pytorch.org/models/{name}-{digest[:8]}.pth")
    monkeypatch.setitem(weights.meta, "categories", [f"class {k}" for k in range(n_classes)])
    path = home / "hub" / "checkpoints" / f"{name}-{digest[:8]}.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(content.getvalue())
    return network.eval(), path


def assert_same_outputs(found: nn.Module, network: nn.Module, size: int) -> None:
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(found(images), network.eval()(images))


def test_weights_of_torchvision_are_read_from_the_cache_of_torch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    network, path = put_torchvision(monkeypatch, tmp_path, "resnet50", "IMAGENET1K_V2", 4)
    loaded = load_network(NetworkSpec("resnet50", 4, "torchvision", weights="pretrained"), None, SMALL)
    assert loaded.spec.weights == "IMAGENET1K_V2"
    assert_same_outputs(loaded.classifier, network, 64)
    path.unlink()
    again = open_network(NetworkSpec.from_dict(loaded.spec.to_dict()), loaded.weights(), "run")
    assert_same_outputs(again, network, 64)


@pytest.mark.parametrize("choice", ["IMAGENET1K_V1", "ResNet50_Weights.IMAGENET1K_V1"])
def test_weights_of_torchvision_by_name_bring_their_own_transform(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, choice: str
) -> None:
    network, _ = put_torchvision(monkeypatch, tmp_path, "resnet50", "IMAGENET1K_V1", 4)
    loaded = load_network(NetworkSpec("resnet50", 4, "torchvision", weights=choice), None, {})
    assert loaded.spec.weights == "IMAGENET1K_V1"
    # the newest weights resize to 232
    assert loaded.preprocessing.resize == 256
    assert_same_outputs(loaded.classifier, network, 64)


@pytest.mark.parametrize(
    ("name", "choice", "size", "arguments"),
    [
        ("googlenet", "IMAGENET1K_V1", 64, {"transform_input": True, "aux_logits": True, "init_weights": False}),
        ("densenet121", "IMAGENET1K_V1", 64, {}),
    ],
)
def test_load_network_with_weights_gives_torchvisions_outputs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, choice: str, size: int, arguments: dict[str, Any]
) -> None:
    put_torchvision(monkeypatch, tmp_path, name, choice, 3, **arguments)
    loaded = load_network(NetworkSpec(name, 3, "torchvision", weights=choice), None, {"size": [size, size]})
    theirs = models.get_model(name, weights=get_model_weights(name)[choice])
    assert_same_outputs(loaded.classifier, theirs, size)
    again = open_network(NetworkSpec.from_dict(loaded.spec.to_dict()), loaded.weights(), "run")
    assert_same_outputs(again, theirs, size)


def test_weights_of_transformers_name_the_size_that_they_need() -> None:
    assert choose_weights("torchvision", "vit_b_16", "IMAGENET1K_SWAG_E2E_V1", 1000).arguments == {"image_size": 384}
    assert choose_weights("torchvision", "vit_b_16", "pretrained", 1000).arguments == {"image_size": 224}


def test_cached_file_with_another_hash_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _, path = put_torchvision(monkeypatch, tmp_path, "resnet18", "IMAGENET1K_V1", 3)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(DataError, match=r"does not match its name: its SHA-256 begins with .* delete it"):
        load_network(NetworkSpec("resnet18", 3, "torchvision", weights="pretrained"), None, SMALL)


def test_cached_file_with_code_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "trapped",))

    _, path = put_torchvision(monkeypatch, tmp_path, "resnet18", "IMAGENET1K_V1", 3)
    torch.save({"state_dict": Trap()}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.rename(path.with_name(f"resnet18-{digest[:8]}.pth"))
    url = f"https://download.pytorch.org/models/resnet18-{digest[:8]}.pth"
    monkeypatch.setattr(get_model_weights("resnet18")["IMAGENET1K_V1"].value, "url", url)
    with pytest.raises(DataError, match="pickled object"):
        load_network(NetworkSpec("resnet18", 3, "torchvision", weights="pretrained"), None, SMALL)
    assert not (tmp_path / "trapped").exists()


def test_weights_without_internet_name_the_file_and_its_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    # nothing answers on port 9 of this machine, as without internet
    url = "https://127.0.0.1:9/models/resnet18-f37072fd.pth"
    monkeypatch.setattr(get_model_weights("resnet18")["IMAGENET1K_V1"].value, "url", url)
    place = tmp_path / "hub" / "checkpoints"
    words = rf"cannot be had from 127.0.0.1 .*put the file resnet18-f37072fd\.pth into {re.escape(str(place))}"
    with pytest.raises(DataError, match=words):
        load_network(NetworkSpec("resnet18", 1000, "torchvision", weights="pretrained"), None, SMALL)
    assert list(place.iterdir()) == []


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return a cache of the Hugging Face hub; the hub itself cannot be reached."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_weights_of_timm_are_read_from_the_cache_of_the_hub(hub: Path) -> None:
    torch.manual_seed(7)
    network = timm.create_model("test_resnet", num_classes=1000)
    folder = hub / "models--timm--test_resnet.r160_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    safetensors.torch.save_file(network.state_dict(), folder / "snapshots" / ("0" * 40) / "model.safetensors")
    loaded = load_network(NetworkSpec("test_resnet", 1000, "timm", weights="pretrained"), None, {})
    assert loaded.spec.weights == "r160_in1k"
    assert_same_outputs(loaded.classifier, network, 160)
    again = open_network(NetworkSpec.from_dict(loaded.spec.to_dict()), loaded.weights(), "run")
    assert_same_outputs(again, network, 160)


def test_weights_of_timm_without_the_hub_are_refused(hub: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match=r"'r160_in1k' of 'test_resnet' cannot be had from the Hugging Face hub \("):
        load_network(NetworkSpec("test_resnet", 1000, "timm", weights="pretrained"), None, {})
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("kind", "name", "choice", "n_classes", "words"),
    [
        (
            "torchvision",
            "resnet18",
            "pretrained",
            10,
            "'IMAGENET1K_V1' of 'resnet18' tell 1,000 classes.* has 10",
        ),
        ("timm", "test_resnet", "pretrained", 10, "'r160_in1k' of 'test_resnet' tell 1,000 classes.* has 10"),
        ("torchvision", "resnet50", "V3", 1000, r"no weights 'V3' for 'resnet50'; it has IMAGENET1K_V1, IMAGENET1K_V2"),
        ("torchvision", "resnet19", "pretrained", 1000, "did you mean"),
        ("torchvision", "mnasnet0_5", "V1", 1000, "it has IMAGENET1K_V1"),
        ("timm", "resnet19", "pretrained", 1000, "did you mean"),
        ("timm", "resnet18.nobodys", "pretrained", 1000, "timm has no weights for 'resnet18.nobodys'"),
        ("timm", "resnet18", "IMAGENET1K_V1", 1000, r"by a tag behind the model's name, such as 'resnet18\.a1_in1k'"),
    ],
)
def test_unknown_weights_are_refused_before_any_download(
    monkeypatch: pytest.MonkeyPatch, kind: str, name: str, choice: str, n_classes: int, words: str
) -> None:
    monkeypatch.setattr(pretrained, "_downloaded", None)
    with pytest.raises(ConfigError, match=words):
        choose_weights(kind, name, choice, n_classes)


def test_open_network_reads_only_the_runs_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "download_url_to_file", None)
    spec = NetworkSpec.from_dict({"torchvision": "resnet18", "n_classes": 3, "weights": "IMAGENET1K_V1"})
    assert spec.to_dict() == {"torchvision": "resnet18", "n_classes": 3, "weights": "IMAGENET1K_V1"}
    assert isinstance(build_network(spec), nn.Module)
