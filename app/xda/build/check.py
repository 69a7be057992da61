"""``xda build --check``: what a build would do, found out without doing it.

Everything that can stop a build is tried: the configuration, the network with its checkpoint, its head, the rules for
heat-maps, and some images of both splits. Times are those of these images on this machine, multiplied.
"""

from __future__ import annotations

import resource
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xda.build.config import BuildConfig
from xda.build.network import configured_network
from xda.build.warnings import doubts_before, doubts_of_accuracy, doubts_of_normalisation
from xda.data.dataset import ImageDataset
from xda.decision import SPLITS, Split
from xda.errors import DataError
from xda.networks.device import resolve_device
from xda.progress import Progress, silent
from xda.relevance.model import RelevanceModel
from xda.settings import DeviceChoice
from xda.storage.run.space import readable_size

SECONDS = 5.0
"""How long images are tried, about."""
MOST_IMAGES = 256
"""Images tried of the test split, at most."""
MOST_CLASSES = 20
"""Above so many classes only the smallest are listed; the text says so."""
_SWEEPS = 100
"""Products of all features with all weights that a surrogate needs, about (it depends on the data)."""
_ENTRIES = 4
"""Dual variables that a support vector has, about."""
_COPIED = 256 * 2**20
"""Bytes of features that the fit and the index hold at a time."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a build would do."""

    title: str
    dataset: str
    classes: tuple[str, ...]
    own_classes: tuple[str, ...]
    """What the data set itself calls its classes, where ``classes`` are other names; else empty."""
    counts: dict[Split, NDArray[np.int64]]
    """Images of each class, shape (K,)."""
    n_left_out: int
    """Images that cannot be used and are left out."""
    network: str
    n_parameters: int
    head: str
    """Name of the last linear layer."""
    n_features: int
    preprocessing: str
    heatmaps: str
    """The rules, or why there are no heat-maps."""
    n_tried: int
    n_right: int
    """How many of the images tried are classified as labelled."""
    memory_bytes: int
    disk_bytes: int
    feature_seconds: float
    surrogate_seconds: float
    problems: tuple[str, ...]
    """What would stop the build; empty if nothing would."""
    remark: str = ""
    """What the network does with the scores of its head, or returns beside them."""
    warnings: tuple[str, ...] = ()
    """What would stop nothing and is most likely a mistake."""

    def lines(self) -> list[str]:
        """Return the outlook for people."""
        train, test = (int(self.counts[split].sum()) for split in SPLITS)
        return [
            f"{self.title}: {train:,} training and {test:,} test images of {self.dataset}, {len(self.classes)} classes",
            *self._class_lines(),
            *([f"  left out        unusable images: {self.n_left_out:,}"] if self.n_left_out else []),
            f"  network         {self.network}, {self.n_parameters:,} parameters",
            f"  features        {self.n_features:,}, before the last linear layer '{self.head}'",
            *([f"  output          {self.remark}"] if self.remark else []),
            f"  preprocessing   {self.preprocessing}",
            f"  heat-maps       {self.heatmaps}",
            f"  tried           {self.n_right} of {self.n_tried} test images are classified as labelled",
            f"  memory          about {readable_size(self.memory_bytes)}",
            f"  disk            about {readable_size(self.disk_bytes)}",
            f"  time            about {_duration(self.feature_seconds)} for the features (measured), in the order of "
            f"{_duration(self.surrogate_seconds)} for surrogates and index (estimated)",
            *(f"  warning         {doubt}" for doubt in self.warnings),
        ]

    def _class_lines(self) -> list[str]:
        order = np.arange(len(self.classes))
        if len(order) > MOST_CLASSES:
            order = np.argsort(self.counts["train"], kind="stable")[:MOST_CLASSES]
        rows = [
            f"    {self.counts['train'][k]:>9,} {self.counts['test'][k]:>9,}  {self._class_name(k)}"
            for k in order.tolist()
        ]
        rest = len(self.classes) - len(order)
        if rest:
            rows.append(f"    … {rest} more classes, each with at least as many training images")
        return ["     training      test  class", *rows]

    def _class_name(self, k: int) -> str:
        name, own = self.classes[k], self.own_classes[k] if self.own_classes else self.classes[k]
        return name if own == name else f"{name}  (in the data set: {own})"


def check_build(
    config: BuildConfig,
    dataset: ImageDataset,
    out: Path | None = None,
    *,
    device: DeviceChoice = "auto",
    progress: Progress = silent,
) -> Outlook:
    """Find out what a build would do.

    Parameters
    ----------
    config : BuildConfig
    dataset : ImageDataset
        The data set that the configuration names.
    out : Path, optional
        Where the run is to be; then its disk is looked at too.
    device : {"auto", "cpu", "cuda"}
    progress : Progress

    Returns
    -------
    Outlook

    Raises
    ------
    ConfigError, DataError
        If the network cannot be made, or an image that is tried cannot be decoded or makes it overflow.
    """
    where = resolve_device(device)
    loaded = configured_network(config, dataset)
    splits = {split: getattr(dataset, split) for split in SPLITS}
    counts = {split: np.bincount(splits[split].labels, minlength=len(dataset.classes)) for split in SPLITS}
    with RelevanceModel(loaded.classifier, loaded.preprocessing, where) as model:
        heatmaps = model.composite or f"none. {model.refusal}"
        if model.composite:
            heatmaps += f"; {model.conservation_error:.1e} of the relevance is lost (on noise)"
        tried = _spread(len(dataset.test), MOST_IMAGES)
        predicted, seconds, read_bytes = _try_images(model, dataset, tried, progress)
    labels = dataset.test.labels[tried[: len(predicted)]]
    right = int((predicted == labels).sum())
    doubts = doubts_before(config, dataset) + doubts_of_normalisation(loaded, dataset)
    doubts += doubts_of_accuracy(labels, predicted, len(dataset.classes))
    n = {split: len(splits[split]) for split in SPLITS}
    image_bytes = read_bytes * sum(n.values())
    disk = (
        int(image_bytes) + 4 * loaded.n_parameters + _result_bytes(config, n, loaded.n_features, len(dataset.classes))
    )
    return Outlook(
        title=config.run.title,
        dataset=dataset.title,
        classes=dataset.classes,
        own_classes=dataset.own_classes,
        counts=counts,
        n_left_out=len(dataset.left_out),
        network=f"{loaded.spec.kind} {loaded.spec.name}"
        + (f" with its weights {loaded.spec.weights}" if loaded.spec.weights else ""),
        n_parameters=loaded.n_parameters,
        head=loaded.head,
        n_features=loaded.n_features,
        preprocessing=loaded.preprocessing.describe(),
        heatmaps=heatmaps,
        n_tried=len(predicted),
        n_right=right,
        memory_bytes=_memory_bytes(n["train"], loaded.n_features, len(dataset.classes)),
        disk_bytes=disk,
        feature_seconds=seconds * sum(n.values()),
        surrogate_seconds=_surrogate_seconds(config, n, loaded.n_features, len(dataset.classes)),
        problems=tuple(_problems(dataset, counts, out, disk)),
        remark=loaded.remark,
        warnings=tuple(doubts),
    )


def _problems(dataset: ImageDataset, counts: dict[Split, NDArray[np.int64]], out: Path | None, disk: int) -> list[str]:
    problems = [
        f"class '{dataset.classes[k]}' has no training image; leave it out of the data set"
        for k in np.flatnonzero(counts["train"] == 0).tolist()
    ]
    problems += [f"there are no {split} images" for split in SPLITS if not counts[split].sum()]
    if out is not None:
        folder = next(parent for parent in out.absolute().parents if parent.exists())
        free = shutil.disk_usage(folder).free
        if free < disk:
            problems.append(
                f"the run needs about {readable_size(disk)}, {readable_size(free)} are free on the disk of {folder}"
            )
    return problems


def _spread(n: int, most: int) -> NDArray[np.int64]:
    """Return positions spread over a split, in an order in which any first part is spread over it too."""
    positions = np.unique(np.linspace(0, max(0, n - 1), min(n, most)).astype(np.int64)) if n else np.arange(0)
    return np.random.default_rng(0).permutation(positions)


def _try_images(
    model: RelevanceModel, dataset: ImageDataset, order: NDArray[np.int64], progress: Progress
) -> tuple[NDArray[np.int64], float, float]:
    """Return predictions, seconds per image and bytes per image, from as many images as the time allows."""
    sizes = [len(dataset.train.encoded(int(i))) for i in _spread(len(dataset.train), 16)]
    predicted: list[NDArray[np.int64]] = []
    best, spent, size, done = float("inf"), 0.0, 1, 0
    while done < len(order) and (spent < SECONDS or done < 3):
        batch = order[done : done + size]
        started = time.perf_counter()
        encoded = [dataset.test.encoded(int(i)) for i in batch]
        features, logits = model.features(encoded)
        predicted.append(logits.argmax(axis=1))
        if not (np.isfinite(features).all() and np.isfinite(logits).all()):
            raise DataError(
                "What the network computes of the test images is not finite (NaN or infinity); look at its weights and "
                "at the preprocessing."
            )
        seconds = time.perf_counter() - started
        # the first calls are slow, the largest batches fast: the build is like the best of them
        best = min(best, seconds / len(batch))
        sizes += map(len, encoded)
        spent, done, size = spent + seconds, done + len(batch), min(2 * size, 64)
        progress("Trying images", min(done, len(order)), len(order))
    together = np.concatenate(predicted) if predicted else np.empty(0, dtype=np.int64)
    return together, (best if predicted else 0.0), float(np.mean(sizes)) if sizes else 0.0


def _result_bytes(config: BuildConfig, n: dict[Split, int], n_features: int, n_classes: int) -> int:
    """Return about how much the run's arrays occupy; every sample is taken for a support vector."""
    outputs = 4 * (n_features + n_classes) * sum(n.values())
    dual = n["train"] * (12 * _ENTRIES + 16)
    index = n["test"] * (2 * 12 * config.index.per_sign + 8 * n_classes + 64)
    return outputs + len(config.surrogate.c) * (dual + index + 8 * n_features * n_classes)


def _memory_bytes(n_train: int, n_features: int, n_classes: int) -> int:
    """Return what the process occupies now, with network and images in it, and what the fit will add."""
    unit = 1 if sys.platform == "darwin" else 1024
    now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    fit = min(_COPIED, 8 * n_train * n_features) + n_train * (12 * _ENTRIES + 64) + 24 * n_features * n_classes
    return int(now + fit)


def _surrogate_seconds(config: BuildConfig, n: dict[Split, int], n_features: int, n_classes: int) -> float:
    """Return the order of the time for surrogates and index, from how fast this machine multiplies matrices."""
    rows = int(np.clip(2**22 // max(1, n_features), 1, n["train"] or 1))
    features, weights = np.ones((rows, n_features)), np.ones((n_features, n_classes))
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        features @ weights
        best = min(best, time.perf_counter() - started)
    product = best * n["train"] / rows
    # the index multiplies the support vectors, at most all samples, with all test images
    index = product * n["test"] / max(1, n_classes) / 4
    return float(len(config.surrogate.c) * (_SWEEPS * product + index))


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "a second"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
