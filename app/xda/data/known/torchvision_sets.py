"""torchvision's data sets by name, through its own classes and downloads, in ``<data folder>/torchvision``.

torchvision's checksums decide whether a download is complete. Sets that torchvision keeps in memory as one array are
used as that array; the others are read file by file.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xda.data.dataset import ArraySource, ImageDataset, ImageSplit
from xda.data.image_folders import load_files
from xda.data.known.downloads import in_short, well_behaved
from xda.data.known.registry import KnownDataset, register
from xda.errors import DataError
from xda.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class TorchvisionSet:
    """A class of torchvision and its arguments for the two splits."""

    cls: str
    title: str
    train: Mapping[str, Any]
    test: Mapping[str, Any]


def _by_flag(cls: str, title: str, **more: Any) -> TorchvisionSet:
    return TorchvisionSet(cls, title, {"train": True, **more}, {"train": False, **more})


def _by_name(cls: str, title: str, train: str = "train", test: str = "test", **more: Any) -> TorchvisionSet:
    return TorchvisionSet(cls, title, {"split": train, **more}, {"split": test, **more})


SETS: Mapping[str, TorchvisionSet] = {
    "cifar100": _by_flag("CIFAR100", "CIFAR-100"),
    "kmnist": _by_flag("KMNIST", "Kuzushiji-MNIST"),
    "qmnist": _by_flag("QMNIST", "QMNIST"),
    "usps": _by_flag("USPS", "USPS"),
    "emnist-balanced": _by_flag("EMNIST", "EMNIST, balanced", split="balanced"),
    "emnist-digits": _by_flag("EMNIST", "EMNIST, digits", split="digits"),
    "emnist-letters": _by_flag("EMNIST", "EMNIST, letters", split="letters"),
    "svhn": _by_name("SVHN", "Street View House Numbers"),
    "stl10": _by_name("STL10", "STL-10"),
    "flowers102": _by_name("Flowers102", "Oxford 102 Flowers"),
    "food101": _by_name("Food101", "Food-101"),
    "oxford-iiit-pet": _by_name("OxfordIIITPet", "Oxford-IIIT Pet", "trainval"),
    "dtd": _by_name("DTD", "Describable Textures"),
    "fgvc-aircraft": _by_name("FGVCAircraft", "FGVC-Aircraft", "trainval"),
    "gtsrb": _by_name("GTSRB", "German Traffic Signs"),
    "pcam": _by_name("PCAM", "PatchCamelyon"),
    "country211": _by_name("Country211", "Country211"),
    "rendered-sst2": _by_name("RenderedSST2", "Rendered SST2"),
    "imagenette": _by_name("Imagenette", "Imagenette", test="val"),
}
"""The data sets of torchvision with a training split and a test split, by name."""


def fetch(name: str, data_dir: Path, progress: Progress) -> None:
    """Let torchvision download a data set unless it is already there.

    Parameters
    ----------
    name : str
        One of ``SETS``.
    data_dir : Path
        The data folder.
    progress : Progress

    Raises
    ------
    DataError
        The download fails or has other checksums.
    """
    known = SETS[name]
    stage = f"Fetching {known.title} (torchvision)"
    progress(stage, 0, 2)
    try:
        for number, options in enumerate((known.train, known.test)):
            if _opened(known, data_dir, options) is None:
                with well_behaved():
                    _make(known, _root(data_dir), options, download=True)
            progress(stage, number + 1, 2)
    # torchvision and its libraries raise RuntimeError, URLError, errors of zipfile and tarfile, and more
    except Exception as error:
        progress(stage, 2, 2)
        raise DataError(
            f"{known.title} could not be fetched by torchvision ({in_short(error)}). Put the files of "
            f"torchvision.datasets.{known.cls} into {_root(data_dir)} and try again."
        ) from None


def load(name: str, data_dir: Path, progress: Progress = silent) -> ImageDataset:
    """Load a downloaded data set of torchvision.

    Classes without an image in either split (EMNIST's letters have one) are left out.

    Parameters
    ----------
    name : str
        One of ``SETS``.
    data_dir : Path
        The data folder; looked for in its folder ``torchvision``, then in itself.
    progress : Progress

    Raises
    ------
    DataError
        If it is absent, incomplete or damaged.
    """
    known = SETS[name]
    train, test = (_opened(known, data_dir, options) for options in (known.train, known.test))
    if train is None or test is None:
        raise DataError(f"{known.title} is not complete in {_root(data_dir)}; run `xda data {name}` to fetch it.")
    if isinstance(train[0][0], Path):
        splits = [
            _file_split(dataset, data_dir, _root(data_dir) / f".{name}-checked" / f"{split}.parquet", progress)
            for split, dataset in (("train", train), ("test", test))
        ]
        return _named(name, known, train, splits)
    arrays = _arrays(train), _arrays(test)
    if arrays[0] is None or arrays[1] is None:
        # imported here: most data sets do not need it
        from xda.data.torch import from_torch

        return _without_empty_classes(from_torch(name, known.title, train, test, progress=progress))
    return _named(name, known, train, [_array_split(*pair) for pair in arrays if pair is not None])


def _named(name: str, known: TorchvisionSet, train: Any, splits: Sequence[ImageSplit]) -> ImageDataset:
    given = getattr(train, "classes", None) or range(int(splits[0].labels.max(initial=-1)) + 1)
    # some give a tuple of synonyms for each class
    classes = tuple(str(each[0]) if isinstance(each, tuple | list) else str(each) for each in given)
    return _without_empty_classes(ImageDataset(name, known.title, classes, *splits))


def _file_split(dataset: Any, root: Path, kept: Path, progress: Progress) -> ImageSplit:
    items = [dataset[place] for place in range(len(dataset))]
    return load_files(
        [str(path) for path, _ in items], [int(label) for _, label in items], base=root, kept=kept, progress=progress
    )


def _root(data_dir: Path) -> Path:
    return data_dir / "torchvision"


def _opened(known: TorchvisionSet, data_dir: Path, options: Mapping[str, Any]) -> Any:
    """Return torchvision's object for a split if it is on the disk, or None."""
    for root in (_root(data_dir), data_dir):
        try:
            return _make(known, root, options, download=False)
        except (RuntimeError, OSError):
            continue
    return None


def _make(known: TorchvisionSet, root: Path, options: Mapping[str, Any], *, download: bool) -> Any:
    import torchvision

    cls = getattr(torchvision.datasets, known.cls)
    if download:
        root.mkdir(parents=True, exist_ok=True)
    # a loader that returns the path: the original files are kept and none is decoded twice
    loader = {"loader": Path} if "loader" in inspect.signature(cls.__init__).parameters else {}
    return cls(str(root), **options, download=download, **loader)


def _arrays(dataset: Any) -> tuple[NDArray[np.uint8], NDArray[np.int64]] | None:
    """Return images (N, H, W) or (N, H, W, 3) and labels (N,) of a set in memory; None for a set of files."""
    images = getattr(dataset, "data", None)
    labels = getattr(dataset, "targets", getattr(dataset, "labels", None))
    if images is None or labels is None or isinstance(images, list) or not len(dataset):
        return None
    array = np.asarray(images)
    if array.ndim == 4 and array.shape[1] == 3 and array.shape[3] != 3:
        array = np.moveaxis(array, 1, -1)
    numbers = np.asarray(labels)
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or len(array) != len(dataset):
        return None
    # columns beyond the first say who wrote the digit
    numbers = numbers[:, 0] if numbers.ndim == 2 else numbers
    first, label = dataset[0]
    if not np.array_equal(np.asarray(first), array[0]) or int(label) != int(numbers[0]):
        return None
    return np.ascontiguousarray(array), numbers.astype(np.int64)


def _array_split(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> ImageSplit:
    digest = hashlib.sha256(labels.tobytes())
    digest.update(str(images.shape).encode())
    digest.update(images.data)
    return ImageSplit(labels=labels, fingerprint=digest.hexdigest(), source=ArraySource(images))


def _without_empty_classes(dataset: ImageDataset) -> ImageDataset:
    used = np.union1d(dataset.train.labels, dataset.test.labels)
    if len(used) == len(dataset.classes):
        return dataset
    number = np.full(len(dataset.classes), -1, dtype=np.int64)
    number[used] = np.arange(len(used))
    return replace(
        dataset,
        classes=tuple(dataset.classes[k] for k in used.tolist()),
        train=replace(dataset.train, labels=number[dataset.train.labels]),
        test=replace(dataset.test, labels=number[dataset.test.labels]),
    )


for _name, _set in SETS.items():
    register(KnownDataset(_name, _set.title, "torchvision", fetch=partial(fetch, _name), load=partial(load, _name)))
