"""Images from a torch ``Dataset``, made by the user's factory or by torchvision.

An item is (image, label). The image may be a path, the bytes of a file, a PIL image, a NumPy array (H, W) or (H, W, 3)
of uint8, or a tensor (H, W), (1, H, W) or (3, H, W) of uint8 or of floating-point numbers from 0 to 1. The label is a
whole number or the name of a class.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from xda.data.checking import Verdict, checked_split, examine, for_people
from xda.data.dataset import ImageDataset, ImageSource, ImageSplit, own_classes
from xda.data.decoding import BadImageError, eight_bit
from xda.data.regular_files import read_regular
from xda.errors import DataError
from xda.plugins import import_function
from xda.progress import Progress, silent

_SPLITS = ("train", "test")


@dataclass(frozen=True, slots=True)
class ItemSource(ImageSource):
    """Images that are items of a torch data set, fetched on demand."""

    dataset: Any
    indices: NDArray[np.int64]
    """Positions of the items, shape (N,)."""
    paths: Mapping[int, str]
    """Path of each item whose image is a file, by position."""

    def encoded(self, index: int) -> bytes:
        """Return the item's own image file if it is one, else its pixels as PNG bytes."""
        return encode(self.dataset[int(self.indices[index])][0])

    def origin(self, index: int) -> str | int:
        """Return the item's path if it is a file, else its position among all items."""
        number = int(self.indices[index])
        return self.paths.get(number, number)


def encode(image: Any) -> bytes:
    """Return an item's image as the bytes of an image file.

    Parameters
    ----------
    image : path, bytes, PIL.Image.Image, ndarray or torch.Tensor

    Raises
    ------
    BadImageError
        If it is none of these, or its values are not those of an image.
    """
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, str | PathLike):
        try:
            return read_regular(image)
        except OSError as error:
            raise BadImageError(f"it cannot be read: {error.strerror}") from None
    if isinstance(image, torch.Tensor):
        image = _from_tensor(image)
    if isinstance(image, np.ndarray):
        image = _from_array(image)
    if not isinstance(image, Image.Image):
        raise BadImageError(f"the item is a {type(image).__name__}, not a path, bytes, a PIL image or a tensor")
    buffer = io.BytesIO()
    try:
        eight_bit(image).save(buffer, "PNG", compress_level=1)
    except BadImageError:
        raise
    # Pillow reads an opened image only here, and its decoders raise errors of many types
    except Exception as error:
        raise BadImageError(f"it is damaged: {error}") from None
    return buffer.getvalue()


def load_factory_dataset(
    factory: str, *, classes: Sequence[str] | None = None, progress: Progress = silent
) -> ImageDataset:
    """Load the data set that the user's own function makes.

    Parameters
    ----------
    factory : str
        ``module:function``; called as ``function("train")`` and ``function("test")``, it returns torch data sets.
    classes : sequence of str, optional
        As in ``from_torch``.
    progress : Progress
        Told how many images are read.

    Returns
    -------
    ImageDataset

    Raises
    ------
    ConfigError
        If there is no such function.
    DataError
        If it fails, or returns no data set, or labels are unknown.
    """
    make = import_function(factory)
    made = {}
    for split in _SPLITS:
        try:
            made[split] = make(split)
        except Exception as error:
            raise DataError(f"{factory}('{split}') failed: {type(error).__name__}: {error}.") from error
        if not hasattr(made[split], "__getitem__") or not hasattr(made[split], "__len__"):
            raise DataError(
                f"{factory}('{split}') returned a {type(made[split]).__name__}; it must return a torch Dataset with a "
                "length, whose items are (image, label)."
            )
    return from_torch(factory, factory, made["train"], made["test"], classes=classes, progress=progress)


def from_torch(
    name: str,
    title: str,
    train: Any,
    test: Any,
    *,
    classes: Sequence[str] | None = None,
    progress: Progress = silent,
) -> ImageDataset:
    """Return two torch data sets as an ``ImageDataset``; every item is read once and checked.

    Parameters
    ----------
    name, title : str
        Of the data set.
    train, test : torch.utils.data.Dataset
        With a length and items (image, label).
    classes : sequence of str, optional
        Class names, or their order (``ImageDataset.with_classes``); by default the training set's ``classes``, else
        the labels themselves.
    progress : Progress

    Raises
    ------
    ConfigError
        If the names do not fit those that the data set has.
    DataError
        If a label is none of the classes, or there are no images.
    """
    raw = {split: _read(split, dataset, progress) for split, dataset in (("train", train), ("test", test))}
    own = own_classes(train)
    names = _class_names(own if own is not None and len(own) else classes, raw["train"])
    splits = {split: _split(split, dataset, raw[split], names) for split, dataset in (("train", train), ("test", test))}
    dataset = ImageDataset(name=name, title=title, classes=names, train=splits["train"], test=splits["test"])
    return dataset if classes is None else dataset.with_classes(classes)


@dataclass(frozen=True, slots=True)
class _Item:
    name: str
    """For people."""
    label: Any
    verdict: Verdict
    path: str = ""
    """Path of the image, if it is a file."""


def _read(split: str, dataset: Any, progress: Progress) -> list[_Item]:
    items: list[_Item] = []
    for place in range(len(dataset)):
        items.append(_examined(split, dataset, place))
        if place % 500 == 499 or place + 1 == len(dataset):
            progress(f"Checking images: {split}", place + 1, len(dataset))
    return items


def _examined(split: str, dataset: Any, place: int) -> _Item:
    name = f"{split} image {place}"
    try:
        item = dataset[place]
    # other people's code may raise any error for a file that it cannot read
    except Exception as error:
        words = " ".join(str(error).split())
        return _Item(name, None, Verdict(b"", f"it cannot be loaded: {type(error).__name__}: {words[:160]}"))
    if not isinstance(item, Sequence) or len(item) < 2:
        raise DataError(f"The {name} of the data set is a {type(item).__name__}; every item must be (image, label).")
    image, label = item[0], _plain(item[1])
    if not isinstance(label, int | str):
        raise DataError(f"The label of the {name} is a {type(label).__name__}; it must be a whole number or a name.")
    path = str(image) if isinstance(image, str | PathLike) else ""
    name = for_people(path) or name
    try:
        return _Item(name, label, examine(encode(image)), path)
    except BadImageError as error:
        return _Item(name, label, Verdict(b"", error.reason))


def _plain(label: Any) -> Any:
    """Return a label as a whole number or text, unwrapping arrays and tensors of one value."""
    if isinstance(label, torch.Tensor):
        label = label.numpy(force=True)
    if isinstance(label, np.generic | np.ndarray) and label.size == 1:
        label = label.item()
    return int(label) if isinstance(label, float) and label.is_integer() else label


def _class_names(given: Any, items: Sequence[_Item]) -> tuple[str, ...]:
    if given is not None and not isinstance(given, str) and len(given):
        # some give a tuple of synonyms for each class
        return tuple(str(name[0]) if isinstance(name, tuple | list) and name else str(name) for name in given)
    labels = {item.label for item in items if not item.verdict.problem}
    if all(isinstance(label, str) for label in labels):
        return tuple(sorted(labels))
    return tuple(str(k) for k in range(max((k for k in labels if isinstance(k, int)), default=-1) + 1))


def _split(split: str, dataset: Any, items: Sequence[_Item], classes: tuple[str, ...]) -> ImageSplit:
    places = {name: k for k, name in enumerate(classes)}

    def label_of(index: int, item: _Item) -> Any:
        label = places.get(item.label) if isinstance(item.label, str) else item.label
        if not item.verdict.problem and (not isinstance(label, int) or not 0 <= label < len(classes)):
            raise DataError(
                f"The {split} image {index} of the data set has the label {item.label!r}, which is none of its "
                f"{len(classes)} classes; labels are whole numbers from 0, or names of classes."
            )
        return label

    return checked_split(
        ((item.name, label_of(index, item), item.verdict) for index, item in enumerate(items)),
        lambda indices: ItemSource(dataset, indices, _relative(items)),
    )


def _relative(items: Sequence[_Item]) -> dict[int, str]:
    """Return the paths of items by position; absolute paths become relative to their common folder."""
    paths = {place: item.path for place, item in enumerate(items) if item.path}
    if not paths or not all(map(os.path.isabs, paths.values())):
        return paths
    folder = os.path.commonpath([os.path.dirname(path) for path in paths.values()])
    return {place: os.path.relpath(path, os.path.dirname(folder)) for place, path in paths.items()}


def _from_tensor(image: torch.Tensor) -> NDArray[np.uint8]:
    values = image.detach().cpu()
    if values.ndim == 3 and values.shape[0] in (1, 3):
        values = values.movedim(0, -1)
    if values.is_floating_point():
        low, high = float(values.min()), float(values.max())
        if not (low >= 0.0 and high <= 1.0):
            raise BadImageError(
                f"its values go from {low:.3g} to {high:.3g} instead of 0 to 1; if the data set normalises, let it "
                "give images from before that, and say mean and std under [network.preprocessing]"
            )
        values = (values * 255).round().to(torch.uint8)
    array: NDArray[np.uint8] = values.numpy()
    return array


def _from_array(array: NDArray[Any]) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3):
        raise BadImageError(
            f"an array of type {array.dtype} and shape {array.shape} is no image; uint8, (H, W) or (H, W, 3) is"
        )
    return Image.fromarray(np.ascontiguousarray(array))
