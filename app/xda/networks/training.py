"""Training of the preset networks: AdamW with a one-cycle learning rate, resumable after every epoch.

Everything random in epoch e (order, crops, flips) is drawn from a generator seeded with (seed, e), and the learning
rate is a function of the step; so weights, AdamW's moments and the number of the epoch are the whole state, and a
resumed training ends with the weights of an uninterrupted one, bit for bit on the same machine.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import nn
from torch.nn import functional

from xda.atomic import replacing
from xda.data.dataset import ImageDataset, ImageSplit
from xda.data.preprocessing import Preprocessing
from xda.errors import ConfigError
from xda.networks.batches import fitting_batch_size, index_batches, load_batch
from xda.networks.checkpoints import pack, read_metadata, save_weights
from xda.networks.presets import Preset, Recipe, get_preset
from xda.networks.spec import NetworkSpec, build_network
from xda.networks.transfer import transfer
from xda.progress import Progress

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """Result of a training."""

    test_accuracy: float
    """Share of correctly classified test images."""
    seconds: float
    """Time of all attempts; 0 if the training was already finished."""
    epochs: int
    fitted_accuracy: float | None = None
    """The same share before the first epoch, where training starts from ImageNet's weights and a fitted head."""


def train(
    preset: str,
    dataset: ImageDataset,
    checkpoint: Path,
    *,
    device: torch.device,
    progress: Progress,
    seed: int = 0,
    epochs: int | None = None,
    kept: Path | None = None,
) -> TrainingResult:
    """Train a preset network and write its weights.

    An interrupted training, even by kill -9, continues after its last complete epoch. A finished one for the same
    preset, data and seed is not repeated. A key over all of these recognises both; a file's existence is not enough.

    Parameters
    ----------
    preset : str
        Name of the network.
    dataset : ImageDataset
        Trained on its train split, tested on its test split.
    checkpoint : Path
        File for the weights (safetensors, with the result in the header). The state of an unfinished training is kept
        next to it, with ``.unfinished`` appended.
    device : torch.device
    progress : Progress
        Told how many batches are done.
    seed : int
        Of initial weights, order and augmentation.
    epochs : int, optional
        Instead of the recipe's number.
    kept : Path, optional
        Folder of features on which a head is fitted; see ``xda.networks.transfer``.

    Returns
    -------
    TrainingResult

    Raises
    ------
    ConfigError
        If the preset is unknown or the data set is empty.
    DataError
        If an image cannot be decoded.
    """
    known = get_preset(preset)
    recipe = known.recipe if epochs is None else replace(known.recipe, epochs=epochs)
    if not len(dataset.train) or not len(dataset.test) or recipe.epochs < 1:
        raise ConfigError("Training needs at least one epoch, one training image and one test image.")
    key = _key(known, recipe, dataset, seed)
    header = read_metadata(checkpoint)
    if header.get("training_key") == key:
        return TrainingResult(
            float(header["test_accuracy"]), 0.0, int(header["epochs"]), _number(header.get("fitted_accuracy"))
        )

    started = time.perf_counter()
    unfinished = checkpoint.with_name(f"{checkpoint.name}.unfinished")
    state = read_metadata(unfinished)
    fitted = _number(state.get("fitted_accuracy")) if state.get("training_key") == key else None
    if known.starts_from_imagenet:
        network = transfer(known, dataset, kept, device=device, progress=progress).network
        if fitted is None:
            fitted = _accuracy(network, dataset.test, known.preprocessing, device, progress)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = build_network(NetworkSpec(preset, len(dataset.classes)))
    network.to(device).to(memory_format=torch.channels_last)  # faster convolutions, on the CPU too
    run = _Run(network, recipe, key, len(dataset.train))
    run.fitted_accuracy = fitted
    run.resume(unfinished)
    earlier = run.seconds
    images, labels = _preload(dataset.train, known.preprocessing, device, progress, "Reading training images")
    while run.epoch < recipe.epochs:
        _train_epoch(run, images, labels, known.preprocessing, seed, progress)
        run.seconds = earlier + time.perf_counter() - started
        if run.epoch < recipe.epochs:
            run.save(unfinished)
    accuracy = _accuracy(network, dataset.test, known.preprocessing, device, progress)
    # without the time, so that the same training gives the same file
    outcome = {"training_key": key, "preset": preset, "test_accuracy": repr(accuracy), "epochs": str(recipe.epochs)}
    if fitted is not None:
        outcome["fitted_accuracy"] = repr(fitted)
    save_weights(network, checkpoint, outcome)
    unfinished.unlink(missing_ok=True)
    return TrainingResult(accuracy, round(earlier + time.perf_counter() - started, 3), recipe.epochs, fitted)


class _Run:
    """A running training: the network, AdamW's state and the epoch."""

    def __init__(self, network: nn.Module, recipe: Recipe, key: str, n_train: int) -> None:
        self.network = network
        self.recipe = recipe
        self.key = key
        self.epoch = 0
        self.seconds = 0.0
        self.fitted_accuracy: float | None = None
        self.steps_per_epoch = math.ceil(n_train / recipe.batch_size)
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.peak_lr, weight_decay=recipe.weight_decay)

    def learning_rate(self, step: int) -> float:
        """One cycle: cosine from peak/25 up to the peak, then down to almost zero (Smith and Topin, 2018)."""
        total = self.recipe.epochs * self.steps_per_epoch
        turn = max(1.0, self.recipe.warm_up * total)
        low, high, end = self.recipe.peak_lr / 25, self.recipe.peak_lr, self.recipe.peak_lr / 25e4
        if step < turn:
            return high + (low - high) * (1 + math.cos(math.pi * step / turn)) / 2
        return end + (high - end) * (1 + math.cos(math.pi * (step - turn) / max(1.0, total - turn))) / 2

    def save(self, path: Path) -> None:
        """Write the state after a whole epoch, atomically and without pickle."""
        tensors = {f"network.{name}": value.detach() for name, value in self.network.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
        header = {"training_key": self.key, "epoch": str(self.epoch), "seconds": str(self.seconds)}
        if self.fitted_accuracy is not None:
            header["fitted_accuracy"] = repr(self.fitted_accuracy)
        with replacing(path) as file:
            file.write(pack(tensors, header))

    def resume(self, path: Path) -> None:
        """Continue from the state at ``path`` if it belongs to the same training; else start from the beginning."""
        header = read_metadata(path)
        if header.get("training_key") != self.key:
            return
        try:
            tensors = safetensors.torch.load_file(path)
        except (safetensors.SafetensorError, OSError):
            return
        network = {name.removeprefix("network."): value for name, value in tensors.items() if name[0] == "n"}
        states: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, index, entry = name.split(".", 2)
                states.setdefault(int(index), {})[entry] = value
        self.network.load_state_dict(network)
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": states})
        self.epoch = int(header["epoch"])
        self.seconds = float(header["seconds"])


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def _key(preset: Preset, recipe: Recipe, dataset: ImageDataset, seed: int) -> str:
    content = {
        "format": _FORMAT,
        "preset": preset.name,
        "recipe": asdict(recipe),
        "preprocessing": preset.preprocessing.to_dict(),
        "train": dataset.train.fingerprint,
        "test": dataset.test.fingerprint,
        "n_classes": len(dataset.classes),
        "seed": seed,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _preload(
    split: ImageSplit, preprocessing: Preprocessing, device: torch.device, progress: Progress, stage: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return all images, (N, C, H, W) float32, and labels, (N,) int64, on the device."""
    height, width = preprocessing.size
    images = torch.empty((len(split), preprocessing.channels, height, width), device=device)
    for batch in index_batches(len(split), 5000):
        images[batch[0] : batch[-1] + 1] = load_batch(split, batch, preprocessing).to(device)
        progress(stage, int(batch[-1]) + 1, len(split))
    return images, torch.from_numpy(split.labels).to(device)


def _train_epoch(
    run: _Run, images: torch.Tensor, labels: torch.Tensor, preprocessing: Preprocessing, seed: int, progress: Progress
) -> None:
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence([seed, run.epoch]).generate_state(1)[0]))
    order = torch.randperm(len(images), generator=generator).to(images.device)
    run.network.train()
    total = run.recipe.epochs * run.steps_per_epoch
    for number, batch in enumerate(torch.split(order, run.recipe.batch_size)):
        step = run.epoch * run.steps_per_epoch + number
        for group in run.optimizer.param_groups:
            group["lr"] = run.learning_rate(step)
        augmented = _augment(images[batch], run.recipe, preprocessing, generator)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=run.recipe.autocast):
            loss = functional.cross_entropy(run.network(augmented), labels[batch])
        run.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        run.optimizer.step()
        progress("Training", step + 1, total)
    run.epoch += 1


def _augment(
    images: torch.Tensor, recipe: Recipe, preprocessing: Preprocessing, generator: torch.Generator
) -> torch.Tensor:
    """Crop and mirror a batch at random, (B, C, H, W) to the same shape; the border is black before normalisation."""
    if not recipe.crop_padding and not recipe.flip:
        return images
    n, channels, height, width = images.shape
    rows = torch.arange(height).expand(n, height)
    columns = torch.arange(width).expand(n, width)
    if recipe.flip:
        mirrored = torch.rand((n, 1), generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    if recipe.crop_padding:
        pad = recipe.crop_padding
        black = -torch.tensor(preprocessing.mean) / torch.tensor(preprocessing.std)
        padded = black.to(images)[:, None, None].expand(n, -1, height + 2 * pad, width + 2 * pad).clone()
        padded[:, :, pad : pad + height, pad : pad + width] = images
        images = padded
        shift = torch.randint(0, 2 * pad + 1, (2, n, 1), generator=generator)
        rows, columns = rows + shift[0], columns + shift[1]
    rows, columns = rows.to(images.device), columns.to(images.device)
    batch = torch.arange(n, device=images.device)[:, None, None, None]
    channel = torch.arange(channels, device=images.device)[None, :, None, None]
    return images[batch, channel, rows[:, None, :, None], columns[:, None, None, :]]


def _accuracy(
    network: nn.Module, split: ImageSplit, preprocessing: Preprocessing, device: torch.device, progress: Progress
) -> float:
    network.eval()
    right = 0
    with torch.inference_mode():
        for batch in index_batches(len(split), fitting_batch_size(preprocessing, device)):
            predicted = network(load_batch(split, batch, preprocessing).to(device)).argmax(1).cpu().numpy()
            right += int((predicted == split.labels[batch]).sum())
            progress("Testing", int(batch[-1]) + 1, len(split))
    return right / len(split)
