"""The one synthetic world of the tests: drawn digits, a network trained on them, and the run folder built from both.

Twelve training images carry a wrong label on purpose, so that opposing and bounded support vectors exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from xda.build.config import BuildConfig, DataTable, NetworkTable, RunTable, SurrogateTable
from xda.build.pipeline import build_run
from xda.data.dataset import ArraySource, ImageDataset, ImageSplit
from xda.networks.training import train
from xda.progress import silent

N_CLASSES = 10
N_TRAIN, N_TEST = 600, 120
N_MISLABELLED = 12
C_VALUES = (1e-4, 1e-2)
RUN_ID, RETRAINED_ID = "digits", "digits-again"


@dataclass(frozen=True)
class World:
    """The data set, configuration and run of the synthetic world."""

    dataset: ImageDataset
    config: BuildConfig
    run: Path
    mislabelled: NDArray[np.int64]


def draw_digits(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a digit for each label, shifted, sized and lit at random; shape (n, 28, 28)."""
    images = np.zeros((len(labels), 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels.tolist(), strict=True):
        canvas = Image.new("L", (28, 28))
        font = ImageFont.load_default(size=int(rng.integers(22, 25)))
        x, y = rng.integers(6, 10), rng.integers(-2, 2)
        ImageDraw.Draw(canvas).text((int(x), int(y)), str(label), fill=int(rng.integers(180, 256)), font=font)
        image[:] = np.clip(np.asarray(canvas) + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8)
    return images


def make_split(labels: NDArray[np.int64], images: NDArray[np.uint8]) -> ImageSplit:
    """Return a split with the fingerprint of its content."""
    return ImageSplit(labels, sha256(labels.tobytes() + images.tobytes()).hexdigest(), ArraySource(images))


def make_dataset() -> tuple[ImageDataset, NDArray[np.int64]]:
    """Return the data set and the training images that carry a wrong label."""
    rng = np.random.default_rng(0)
    truth = {"train": np.arange(N_TRAIN) % N_CLASSES, "test": np.arange(N_TEST) % N_CLASSES}
    images = {split: draw_digits(labels, rng) for split, labels in truth.items()}
    mislabelled = np.sort(rng.choice(N_TRAIN, N_MISLABELLED, replace=False))
    labels = truth["train"].copy()
    labels[mislabelled] = (labels[mislabelled] + rng.integers(1, N_CLASSES, N_MISLABELLED)) % N_CLASSES
    dataset = ImageDataset(
        name="digits",
        title="Drawn digits",
        classes=tuple(str(k) for k in range(N_CLASSES)),
        train=make_split(labels, images["train"]),
        test=make_split(truth["test"], images["test"]),
    )
    return dataset, mislabelled


def make_config(checkpoint: Path | None, *, run_id: str = RUN_ID, **surrogate: object) -> BuildConfig:
    """Return the configuration of the world's run."""
    return BuildConfig(
        run=RunTable(id=run_id, title="Drawn digits · CNN of the DualXDA paper"),
        data=DataTable(name="digits"),
        network=NetworkTable(preset="mnist-cnn", checkpoint=checkpoint),
        surrogate=SurrogateTable.model_validate({"c": C_VALUES} | surrogate),
    )


def make_retrained(world: World, folder: Path) -> Path:
    """Train the network anew with another seed, and build its run over the same data."""
    checkpoint = folder / "retrained.safetensors"
    train("mnist-cnn", world.dataset, checkpoint, device=torch.device("cpu"), progress=silent, epochs=12, seed=1)
    run = folder / RETRAINED_ID
    build_run(make_config(checkpoint, run_id=RETRAINED_ID), world.dataset, run, device="cpu")
    return run


def make_world(folder: Path) -> World:
    """Train the network and build the run."""
    world = open_world(folder)
    checkpoint = world.config.network.checkpoint
    assert checkpoint is not None
    train("mnist-cnn", world.dataset, checkpoint, device=torch.device("cpu"), progress=silent, epochs=12)
    build_run(world.config, world.dataset, world.run, device="cpu")
    return world


def open_world(folder: Path) -> World:
    """Return the world with its network and run in the folder."""
    dataset, mislabelled = make_dataset()
    config = make_config(folder / "checkpoint.safetensors")
    return World(dataset=dataset, config=config, run=folder / RUN_ID, mislabelled=mislabelled)
