"""A run of photographs of every size and kind, with a network that crops; the world of digits has no such images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from tests.data.image_files import encode, exif
from xda.build.config import load_config
from xda.build.configured_dataset import load_dataset
from xda.build.pipeline import build_run
from xda.settings import Settings

RUN_ID = "photos"
SIZES = ((400, 300), (300, 400), (900, 250), (64, 64), (2400, 1600))
"""(width, height) of the test images; the training images follow the same list."""
RESIZE, CROP = 72, 64
CONFIG = f"""
[run]
id = "{RUN_ID}"
title = "Photographs"
[data]
train = "images/train"
test = "images/test"
skip_bad = true
[network]
factory = "tests.photos:network"
[network.preprocessing]
mode = "RGB"
size = [{CROP}, {CROP}]
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]
resize = {RESIZE}
crop = "center"
[surrogate]
c = [1e-2]
"""


def network(n_classes: int) -> nn.Module:
    """Return a small network with weights that are always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=4),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16 * 7 * 7, 24),
            nn.ReLU(),
            nn.Linear(24, n_classes),
        )


def photograph(size: tuple[int, int], label: int, seed: int) -> Image.Image:
    """Return noise that is redder or bluer."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (40, 60, 3)).astype(np.int64)
    small[:, :, 0 if label else 2] += 90
    return Image.fromarray(np.clip(small, 0, 255).astype(np.uint8)).resize(size, Image.Resampling.NEAREST)


def write_images(folder: Path) -> None:
    """Write the images; among them a rotated JPEG, a TIFF of 16 bits, one with transparency, and an empty file."""
    for split, n in (("train", 20), ("test", 10)):
        for k in range(n):
            place = folder / split / ("blue", "red")[k % 2]
            place.mkdir(parents=True, exist_ok=True)
            image = photograph(SIZES[k // 2 % len(SIZES)], k % 2, 100 * n + k)
            (place / f"{k:02d}.jpg").write_bytes(encode(image, "JPEG", quality=92))
    train = folder / "train" / "red"
    turned = photograph((400, 300), 1, 1).transpose(Image.Transpose.ROTATE_90)
    (train / "90.jpg").write_bytes(encode(turned, "JPEG", exif=exif(6)))
    grey = np.asarray(photograph((200, 100), 1, 2).convert("L")).astype(np.uint16) * 257
    (train / "91.tif").write_bytes(encode(Image.fromarray(grey), "TIFF"))
    see_through = photograph((150, 150), 1, 3).convert("RGBA")
    see_through.putalpha(100)
    (train / "92.png").write_bytes(encode(see_through))
    (train / "93.jpg").write_bytes(b"")


def make_photos(folder: Path) -> Path:
    """Write the images, build the run and return its folder."""
    write_images(folder / "images")
    return build_photos(folder)


def build_photos(folder: Path) -> Path:
    """Build the run of the written images, and return its folder."""
    (folder / "photos.toml").write_text(CONFIG)
    config = load_config(folder / "photos.toml")
    dataset = load_dataset(config.data, Settings(home=folder))
    build_run(config, dataset, folder / RUN_ID, device="cpu")
    return folder / RUN_ID
