"""Variants of the world's run for comparisons: the same network over other data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.world import N_TRAIN, World, make_config, make_split
from xda.build.pipeline import build_run
from xda.data.dataset import ImageDataset, ImageSplit


def pixels(split: ImageSplit) -> NDArray[np.uint8]:
    """Return all images of a split."""
    found = split.source.pixels(np.arange(len(split.labels)))
    assert found is not None
    return found


def with_training_set(dataset: ImageDataset, labels: NDArray[np.int64], kept: NDArray[np.int64]) -> ImageDataset:
    """Return the data set with other labels and only some of its training images, in the order given."""
    return replace(dataset, train=make_split(labels[kept], pixels(dataset.train)[kept]))


def relabelled(world: World) -> ImageDataset:
    """Return the world's data with corrected labels."""
    return with_training_set(world.dataset, np.arange(N_TRAIN) % 10, np.arange(N_TRAIN))


def shuffled(world: World) -> tuple[ImageDataset, NDArray[np.int64]]:
    """Return the world's data without every seventh training image, in another order, and which are left."""
    kept = np.random.default_rng(5).permutation(np.flatnonzero(np.arange(N_TRAIN) % 7 != 0))
    return with_training_set(world.dataset, world.dataset.train.labels, kept), kept


def build(world: World, dataset: ImageDataset, folder: Path, run_id: str) -> Path:
    """Build a run of the world's network over other data."""
    config = make_config(world.config.network.checkpoint, run_id=run_id)
    build_run(config, dataset, folder / run_id, device="cpu")
    return folder / run_id
