"""Labelled images ready for the network, from a torch Dataset, a DataLoader or two arrays.

Notebooks pass images in this form. Images keep their position in the data set, because a training image is named by it.
Each is read once while features are computed, and again when a picture or a heat-map needs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch.utils.data import DataLoader, Dataset, IterableDataset, default_collate

from xda.data.dataset import own_classes
from xda.errors import DataError

LabelledImages = Dataset[Any] | DataLoader[Any] | tuple[ArrayLike | torch.Tensor, ArrayLike | torch.Tensor]
"""The arguments that ``PreparedSet`` accepts."""
Images = ArrayLike | torch.Tensor
"""One preprocessed image (C, H, W) or several (B, C, H, W)."""

_BATCH = 256
_PROBES = 3
_ITEM = "each item must be (image tensor as the network takes it, label)"


@dataclass(frozen=True, slots=True)
class AsGiven:
    """Passes preprocessed images on, checking their shape.

    Attributes
    ----------
    shape : tuple of int
        (C, H, W) of every image.
    """

    shape: tuple[int, int, int]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.shape[1:]

    @property
    def channels(self) -> int:
        """Number of channels, C."""
        return self.shape[0]

    def array(self, images: Sequence[NDArray[np.floating]], /) -> NDArray[np.float32]:
        """Return the images stacked, shape (B, C, H, W).

        Raises
        ------
        DataError
            If one has another shape.
        """
        for image in images:
            if image.shape != self.shape:
                raise DataError(f"An image has the shape {image.shape}, the others have {self.shape}; make them equal.")
        return np.stack(images).astype(np.float32) if images else np.empty((0, *self.shape), dtype=np.float32)


class PreparedSet:
    """Labelled images in a fixed order.

    Parameters
    ----------
    data : Dataset, DataLoader or pair of arrays
        Items (image, label), where the image is a floating-point tensor or array (C, H, W) as the network takes it and
        the label a whole number from 0, also as 1.0 or [1.0], as a loss of one logit needs it. A DataLoader's data
        set is read in order; its batch size, workers and ``collate_fn`` are used, its shuffling and sampling are not.
        A pair is images (N, C, H, W) and labels (N,) or (N, 1).

    Attributes
    ----------
    shape : tuple of int
        (C, H, W) of every image.
    classes : tuple of str
        Class names if the data set has them (``classes``, as in torchvision), else empty.

    Raises
    ------
    DataError
        There are no items, they are of another kind, or reading an image twice gives different pixels (random
        augmentation), so that an attribution to it would mean nothing.
    """

    def __init__(self, data: LabelledImages) -> None:
        loader: Any = data if isinstance(data, DataLoader) else None
        self._dataset: Any = data if loader is None else loader.dataset
        if isinstance(data, tuple):
            self._dataset = _ArrayPairs(*_two(data))
        if (
            isinstance(self._dataset, IterableDataset)
            or not hasattr(self._dataset, "__len__")
            or not hasattr(self._dataset, "__getitem__")
        ):
            raise DataError(
                f"The images come as {type(self._dataset).__name__}, which cannot be asked for an image by its "
                "position; give a torch Dataset with __len__ and __getitem__, a DataLoader of one, or (images, labels)."
            )
        if len(self._dataset) == 0:
            raise DataError("The data set is empty; at least one image is needed.")
        self.shape: tuple[int, int, int] = self._read(0)[0].shape
        names = own_classes(self._dataset)
        self.classes = tuple(map(str, names)) if isinstance(names, list | tuple) else ()
        self._refuse_augmentation()
        self._loader = DataLoader(
            self._dataset,
            batch_size=(loader.batch_size if loader is not None else None) or _BATCH,
            shuffle=False,
            num_workers=loader.num_workers if loader is not None else 0,
            collate_fn=loader.collate_fn if loader is not None else default_collate,
            # Without its own generator, a loader draws its workers' seed from torch's global generator.
            generator=torch.Generator().manual_seed(0),
        )

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._dataset)

    def image(self, index: int) -> NDArray[np.float32]:
        """Return one image, shape (C, H, W).

        Raises
        ------
        DataError
            If the data set does not give an image of the common shape.
        """
        image, _ = self._read(index)
        if image.shape != self.shape:
            raise DataError(f"Image {index} has the shape {image.shape}, image 0 has {self.shape}; make them equal.")
        return image

    def origin(self, index: int) -> str | None:
        """Return the path of an image if the data set consists of files, like torchvision's ``ImageFolder``."""
        dataset, place = self._dataset, index
        while hasattr(dataset, "dataset") and hasattr(dataset, "indices"):
            dataset, place = dataset.dataset, dataset.indices[place]
        samples = getattr(dataset, "samples", None)
        if not isinstance(samples, list) or len(samples) != len(dataset):
            return None
        first = samples[place][0] if isinstance(samples[place], tuple | list) and samples[place] else None
        return str(first) if isinstance(first, str | PathLike) else None

    def batches(self) -> Iterator[tuple[torch.Tensor, NDArray[np.int64]]]:
        """Yield images (B, C, H, W) and labels (B,) in order.

        Raises
        ------
        DataError
            If images cannot be put into one batch, or labels are no whole numbers.
        """
        done = 0
        try:
            for batch in self._loader:
                images, labels = _parts(batch)
                values = _one_each(torch.as_tensor(labels))
                whole = not values.dtype.is_floating_point or bool((values == values.round()).all())
                if values.dtype.is_complex or values.ndim != 1 or not whole:
                    raise DataError(
                        f"The labels come as {values.dtype} of the shape {tuple(values.shape)}; one whole number from "
                        "0 for each image is needed."
                    )
                yield _pixels(images), values.cpu().numpy().astype(np.int64)
                done += len(values)
        except (RuntimeError, TypeError, ValueError) as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise DataError(
                f"The images from {done:,} on cannot be read as a batch ({first}); {_ITEM}, all images of one shape."
            ) from error

    def _read(self, index: int) -> tuple[NDArray[np.float32], Any]:
        image, label = _parts(self._dataset[index])
        if not isinstance(image, torch.Tensor | np.ndarray):
            raise DataError(
                f"Image {index} is a {type(image).__name__}, not a tensor; {_ITEM}, so give the data set its transform."
            )
        pixels = _pixels(image).detach().cpu().float().numpy()
        if pixels.ndim != 3:
            raise DataError(f"Image {index} has the shape {pixels.shape}; (channels, height, width) is needed.")
        return pixels, label

    def _refuse_augmentation(self) -> None:
        for index in sorted({0, len(self) // 2, len(self) - 1})[:_PROBES]:
            once, again = self._read(index)[0], self._read(index)[0]
            if not np.array_equal(once, again, equal_nan=True):
                raise DataError(
                    f"Image {index} is another one each time it is asked for; give the training set without random "
                    "augmentation, as the network sees images when it is tested."
                )


class _ArrayPairs(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Images and labels from two arrays of the same length."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        labels = _one_each(labels)
        if images.ndim != 4 or labels.ndim != 1 or len(images) != len(labels):
            raise DataError(
                f"Images of the shape {tuple(images.shape)} and labels of the shape {tuple(labels.shape)} do not "
                "belong together; (N, channels, height, width) and (N,) are needed."
            )
        self._images, self._labels = images, labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self._images[index], self._labels[index]


def as_batch(images: ArrayLike | torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """Return one image or several as a batch.

    Parameters
    ----------
    images : tensor or array-like, shape (C, H, W) or (B, C, H, W)
        As the network takes them.
    shape : tuple of int
        (C, H, W) that is expected.

    Returns
    -------
    torch.Tensor
        Shape (B, C, H, W), where the images are.

    Raises
    ------
    DataError
        If they have another shape or are no floating-point numbers.
    """
    tensor = _pixels(images)
    batch = tensor[None] if tensor.ndim == 3 else tensor
    if batch.shape[1:] != shape:
        raise DataError(
            f"The images have the shape {tuple(tensor.shape)}; {shape} for one or (B, {', '.join(map(str, shape))}) "
            "for several is what the training images have."
        )
    return batch


def is_one(images: Images | LabelledImages) -> bool:
    """Return whether it is one image (C, H, W), and not several."""
    return not isinstance(images, Dataset | DataLoader | tuple) and _tensor(images).ndim == 3


def _parts(item: Any) -> tuple[Any, Any]:
    if not isinstance(item, tuple | list) or len(item) < 2:
        raise DataError(f"The data set gives {type(item).__name__} items; {_ITEM}.")
    return item[0], item[1]


def _two(pair: tuple[Any, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    if len(pair) != 2:
        raise DataError(f"A tuple of {len(pair)} was given as data set; two arrays are needed: images and labels.")
    return _tensor(pair[0]), _tensor(pair[1])


def _one_each(labels: torch.Tensor) -> torch.Tensor:
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def _tensor(values: Any) -> torch.Tensor:
    try:
        if isinstance(values, list | tuple) and values and all(isinstance(each, torch.Tensor) for each in values):
            return torch.stack(list(values))
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError):
        raise DataError(
            f"The given {type(values).__name__} cannot be read as numbers of one shape; give a tensor or an "
            "array, or a list of tensors of one shape."
        ) from None


def _pixels(images: Any) -> torch.Tensor:
    """Refuse whole numbers: only the user knows their scale and normalisation."""
    tensor = _tensor(images)
    if not tensor.dtype.is_floating_point:
        raise DataError(
            f"The images are {tensor.dtype}; give them as the network takes them, scaled and normalised to "
            "floating-point numbers."
        )
    return tensor
