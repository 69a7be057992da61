"""``xda build --check``: predicts what a build would do, without doing it.

The check tries everything that can stop a build: the configuration, the network with its checkpoint, its head, the
rules for heat-maps, and some images of both splits. It measures these images and extrapolates the times.
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

from xda.attribution.curvature import LARGEST
from xda.build.config import BuildConfig
from xda.build.configured_network import configured_network
from xda.build.warnings import accuracy_warnings, configuration_warnings, normalisation_warnings
from xda.data.dataset import ImageDataset, evenly
from xda.decision import SPLITS, Split
from xda.errors import DataError
from xda.networks.device import resolve_device
from xda.progress import Progress, silent
from xda.relevance.relevance_model import RelevanceModel
from xda.settings import DeviceChoice
from xda.storage.run.space import readable_size

SECONDS = 5.0
"""Seconds for which images are tried, about."""
MOST_IMAGES = 256
"""At most so many test images are tried."""
MOST_CLASSES = 20
"""With more classes only the smallest are listed; the text says so."""
_SWEEPS = 100
"""A surrogate multiplies all features with all weights about so many times (it depends on the data)."""
_ENTRIES = 4
"""A support vector has about so many dual variables."""
_COPIED = 256 * 2**20
"""Fit and index hold so many bytes of features at a time."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """Sizes, times, warnings and problems that a build would have."""

    title: str
    dataset: str
    classes: tuple[str, ...]
    own_classes: tuple[str, ...]
    """The data set's own names of its classes, if ``classes`` are other names; else empty."""
    counts: dict[Split, NDArray[np.int64]]
    """Images of each class, shape (K,)."""
    n_left_out: int
    """Number of unusable images, which are left out."""
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
    """Number of tried images that the network classifies as labelled."""
    memory_bytes: int
    disk_bytes: int
    feature_seconds: float
    surrogate_seconds: float
    problems: tuple[str, ...]
    """Reasons that would stop the build; empty if there are none."""
    remark: str = ""
    """The network's steps after its head, and its further outputs, in words."""
    warnings: tuple[str, ...] = ()
    """Likely mistakes that would not stop the build."""

    def lines(self) -> list[str]:
        """Return the outlook as lines of text."""
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
            *(f"  warning         {warning}" for warning in self.warnings),
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
    """Predict what a build would do.

    Parameters
    ----------
    config : BuildConfig
    dataset : ImageDataset
        The data set that the configuration names.
    out : Path, optional
        Future folder of the run; its disk is then checked too.
    device : {"auto", "cpu", "cuda"}
    progress : Progress

    Returns
    -------
    Outlook

    Raises
    ------
    ConfigError, DataError
        The network cannot be made, or a tried image cannot be decoded or makes the network overflow.
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
    warnings = configuration_warnings(config, dataset) + normalisation_warnings(loaded, dataset)
    warnings += accuracy_warnings(labels, predicted, len(dataset.classes))
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
        warnings=tuple(warnings),
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
                f"the run needs about {readable_size(disk)}, but the disk of {folder} has {readable_size(free)} free"
            )
    return problems


def _spread(n: int, most: int) -> NDArray[np.int64]:
    """Return positions spread over a split; each prefix of them is spread too."""
    return np.random.default_rng(0).permutation(evenly(n, most))


def _try_images(
    model: RelevanceModel, dataset: ImageDataset, order: NDArray[np.int64], progress: Progress
) -> tuple[NDArray[np.int64], float, float]:
    """Return predictions, seconds per image and bytes per image, for as many images as the time allows."""
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
                "The network's output for the test images is not finite (NaN or infinity); check its weights and the "
                "preprocessing."
            )
        seconds = time.perf_counter() - started
        # The first calls are slow, the largest batches fast; the build is as fast as the best batch.
        best = min(best, seconds / len(batch))
        sizes += map(len, encoded)
        spent, done, size = spent + seconds, done + len(batch), min(2 * size, 64)
        progress("Trying images", min(done, len(order)), len(order))
    together = np.concatenate(predicted) if predicted else np.empty(0, dtype=np.int64)
    return together, (best if predicted else 0.0), float(np.mean(sizes)) if sizes else 0.0


def _result_bytes(config: BuildConfig, n: dict[Split, int], n_features: int, n_classes: int) -> int:
    """Estimate the bytes of the run's arrays, as if every sample were a support vector."""
    outputs = 4 * (n_features + n_classes) * sum(n.values())
    dual = n["train"] * (12 * _ENTRIES + 16)
    index = n["test"] * (2 * 12 * config.index.per_sign + 8 * n_classes + 64)
    removal = 4 * _inverted_rows(n["train"], n_features, n_classes) ** 2 + 24 * n["train"]
    return outputs + len(config.surrogate.c) * (dual + index + removal + 8 * n_features * n_classes)


def _inverted_rows(n_train: int, n_features: int, n_classes: int) -> int:
    """Return the rows of the matrix that is inverted for effects of removal, at most."""
    return min(n_train, n_features * n_classes, LARGEST)


def _memory_bytes(n_train: int, n_features: int, n_classes: int) -> int:
    """Return the present memory of the process, which holds network and images, plus what the fit will add."""
    unit = 1 if sys.platform == "darwin" else 1024
    now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    fit = min(_COPIED, 8 * n_train * n_features) + n_train * (12 * _ENTRIES + 64) + 24 * n_features * n_classes
    inversion = 16 * _inverted_rows(n_train, n_features, n_classes) ** 2
    return int(now + max(fit, inversion))


def _surrogate_seconds(config: BuildConfig, n: dict[Split, int], n_features: int, n_classes: int) -> float:
    """Estimate the time for surrogates and index from this machine's speed of matrix products."""
    rows = int(np.clip(2**22 // max(1, n_features), 1, n["train"] or 1))
    features, weights = np.ones((rows, n_features)), np.ones((n_features, n_classes))
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        features @ weights
        best = min(best, time.perf_counter() - started)
    product = best * n["train"] / rows
    # The index multiplies all support vectors, at most all samples, with all test images.
    index = product * n["test"] / max(1, n_classes) / 4
    per_product = product / max(1, n["train"] * n_features * n_classes)
    removal = per_product * (_inverted_rows(n["train"], n_features, n_classes) ** 3 + n["train"] * n_features**2)
    return float(len(config.surrogate.c) * (_SWEEPS * product + index + removal))


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "a second"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
