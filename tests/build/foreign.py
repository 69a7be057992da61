"""Foreign networks and images: a tiny data set in colour, and configurations for it."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xda.build.config import BuildConfig, DataTable, NetworkTable, PreprocessingTable, RunTable, SurrogateTable
from xda.data.dataset import ArraySource, ImageDataset, ImageSplit
from xda.networks.spec import NetworkSpec, build_network

CLASSES = ("red", "green", "blue")
FACTORY = """
import torch
from torch import nn

def network(n_classes, width=6):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, n_classes)
    )

def constant(n_classes):
    made = network(n_classes)
    nn.init.zeros_(made[-1].weight)
    nn.init.constant_(made[-1].bias[:1], 3.0)
    return made

class centred(nn.Module):
    # right where the pixels of other colours are below zero, else wrong
    def __init__(self, n_classes):
        super().__init__()
        self.mix = nn.Conv2d(3, 6, 1)
        self.fc = nn.Linear(6, n_classes)
        with torch.no_grad():
            self.mix.weight[:, :, 0, 0] = torch.cat([-torch.eye(3), torch.eye(3)])
            self.mix.bias[:] = torch.tensor([0.0] * 3 + [5.0] * 3)
            self.fc.weight[:] = torch.cat([-10 * torch.eye(3), -0.1 * torch.eye(3)], dim=1)
            self.fc.bias.zero_()

    def forward(self, x):
        return self.fc(self.mix(x.mean((2, 3), keepdim=True)).relu().flatten(1))

class softened(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        made = network(n_classes)
        self.body, self.fc = made[:-1], made[-1]

    def forward(self, x):
        return self.fc(self.body(x)).softmax(1)

class two_heads(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        made = network(n_classes)
        self.body, self.a, self.b = made[:-1], made[-1], nn.Linear(24, n_classes)

    def forward(self, x):
        h = self.body(x)
        return self.a(h), self.b(h)
"""


def make_split(n: int, seed: int) -> ImageSplit:
    """Return images of noise, 24 x 30, with more of the colour that is their label."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % len(CLASSES)
    images = rng.integers(0, 150, (n, 24, 30, 3)).astype(np.uint8)
    images[np.arange(n), :, :, labels] += 90
    digest = sha256(labels.tobytes() + images.tobytes()).hexdigest()
    return ImageSplit(labels, digest, ArraySource(images))


def make_dataset() -> ImageDataset:
    """Return 45 + 12 images."""
    return ImageDataset("colours", "Colours", CLASSES, make_split(45, 0), make_split(12, 1))


def write_tree(folder: Path) -> None:
    """Write the images as an image folder."""
    dataset = make_dataset()
    for name in ("train", "test"):
        split: ImageSplit = getattr(dataset, name)
        for position, label in enumerate(split.labels.tolist()):
            path = folder / name / CLASSES[label] / f"{position:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(split.encoded(position))


def make_config(network: dict[str, Any], **preprocessing: Any) -> BuildConfig:
    """Return a configuration with a network and changes of its preprocessing."""
    table = PreprocessingTable.model_validate(preprocessing)
    return BuildConfig(
        run=RunTable(id="colours", title="Colours"),
        data=DataTable(name="colours"),
        network=NetworkTable.model_validate(network | {"preprocessing": table}),
        surrogate=SurrogateTable(c=(1e-2,)),
    )


def write_checkpoint(spec: NetworkSpec, path: Path) -> Path:
    """Write weights drawn with a fixed seed as a state dict of torch."""
    torch.manual_seed(0)
    torch.save({"state_dict": build_network(spec).state_dict()}, path)
    return path
