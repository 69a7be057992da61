"""The synthetic world for notebooks: its network, and its images as tensors that the network takes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import TensorDataset

from tests.world import World
from xda.data.dataset import ImageSplit
from xda.networks.batches import load_batch
from xda.networks.checkpoints import load_weights
from xda.networks.presets import get_preset
from xda.networks.spec import NetworkSpec, build_network


class NamedDataset(TensorDataset):
    """Tensors with class names, as torchvision's data sets have them."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, classes: tuple[str, ...]) -> None:
        super().__init__(images, labels)
        self.classes = list(classes)


def make_model(world: World) -> nn.Module:
    """Return the world's trained network."""
    network = build_network(NetworkSpec("mnist-cnn", 10))
    assert world.config.network.checkpoint is not None
    load_weights(network, world.config.network.checkpoint)
    return network


def make_tensors(split: ImageSplit) -> tuple[torch.Tensor, torch.Tensor]:
    """Return all images of a split as the network takes them, and their labels."""
    every: NDArray[np.int64] = np.arange(len(split))
    images = load_batch(split, every, get_preset("mnist-cnn").preprocessing)
    return images, torch.from_numpy(split.labels)
