"""Labelled images as they came, in two splits; every part of the product takes a data set in this form."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xda.errors import BadImagesError, ConfigError

_NUMBER = re.compile(r"[-+]?\d[\d.,e+-]*")
MOST_ALIKE = 3
"""At most so many images of one reason get a line each; more share one line that names the first."""
MOST_NAMED = 20
"""A message names at most so many bad images and counts the rest."""
MOST_SAMPLES = 3
"""So many images are named as examples of many."""
MOST_CLASSES = 10
"""A message names at most so many classes."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An image that cannot be used, with the reason."""

    name: str
    """Path or place, for people."""
    reason: str


@dataclass(frozen=True, slots=True)
class ReadOtherwise:
    """Images that torchvision's default loader decodes to other pixels than this product."""

    count: int = 0
    names: tuple[str, ...] = ()
    """Paths or places of the first, for people."""

    @classmethod
    def of(cls, names: Sequence[str]) -> ReadOtherwise:
        """Return the number of these images and the names of the first."""
        return cls(len(names), tuple(names[:MOST_SAMPLES]))


class ImageSource(Protocol):
    """The source of a split's images."""

    def encoded(self, index: int) -> bytes:
        """Return the original file (PNG, JPEG, ...) of one image."""
        ...

    def origin(self, index: int) -> str | int:
        """Return the origin of one image: its path or place, or its position in the data set as that was read."""
        ...

    def pixels(self, indices: NDArray[np.int64]) -> NDArray[np.uint8] | None:
        """Return decoded images, (n, H, W) grey or (n, H, W, 3) RGB, if the source holds pixels; else None."""
        return None


@dataclass(frozen=True, slots=True)
class ArraySource:
    """Images held as one uint8 array, (N, H, W) or (N, H, W, 3); their "original file" is a PNG made on demand."""

    array: NDArray[np.uint8]

    def encoded(self, index: int) -> bytes:
        """Return the image as PNG bytes."""
        buffer = io.BytesIO()
        Image.fromarray(self.array[index]).save(buffer, format="PNG")
        return buffer.getvalue()

    def origin(self, index: int) -> int:
        """Return the position; no image is left out."""
        return index

    def pixels(self, indices: NDArray[np.int64]) -> NDArray[np.uint8] | None:
        """Return the images themselves."""
        return self.array[indices]


@dataclass(frozen=True, slots=True)
class ImageSplit:
    """The labelled images of one split."""

    labels: NDArray[np.int64]
    """Labels of the data set, shape (N,)."""
    fingerprint: str
    """SHA-256 (hex) over labels and image contents, in order."""
    source: ImageSource
    left_out: tuple[LeftOut, ...] = ()
    """Images that belong to the split but cannot be used; they are not among the N."""
    otherwise: ReadOtherwise = ReadOtherwise()

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def encoded(self, i: int) -> bytes:
        """Return image ``i`` as the bytes of an image file (the original where there is one, else PNG)."""
        if not 0 <= i < len(self.labels):
            raise IndexError(f"image {i} of {len(self.labels)}")
        return self.source.encoded(i)

    def origins(self, split: str) -> Iterator[str]:
        """Yield the origin of every image, in order: its path or place, or ``train[17]`` for a position."""
        for i in range(len(self.labels)):
            found = self.source.origin(i)
            yield found if isinstance(found, str) else f"{split}[{found}]"

    def all_encoded(self) -> Iterator[bytes]:
        """Yield every image as the bytes of an image file, in order."""
        return (self.source.encoded(i) for i in range(len(self.labels)))


@dataclass(frozen=True, slots=True)
class ImageDataset:
    """A classification data set."""

    name: str
    title: str
    classes: tuple[str, ...]
    train: ImageSplit
    test: ImageSplit
    own_classes: tuple[str, ...] = field(default=(), kw_only=True)
    """The data set's own class names, (K,), if ``classes`` renames them; else empty."""

    def with_classes(self, names: Sequence[str]) -> ImageDataset:
        """Return the data set with its classes in another order, or under other names.

        Parameters
        ----------
        names : sequence of str
            The data set's own class names in another order, which the labels then follow; or other names, in the data
            set's own order.

        Raises
        ------
        ConfigError
            There are more or fewer names than classes, or the list gives one class's own name to another class. Such a
            list has a mistake in order or spelling and would exchange classes silently.
        """
        own, names = self.classes, tuple(names)
        if len(names) != len(own):
            raise ConfigError(
                f"[data] classes has {len(names)} names, but the data set has {len(own)} classes: {_listed(own)}."
            )
        if set(names) == set(own):
            return self if names == own else self._reordered(names)
        if any(name != old and name in own for name, old in zip(names, own, strict=True)):
            changes = [f"'{old}' → '{name}'" for old, name in zip(own, names, strict=True) if old != name]
            raise ConfigError(
                f"[data] classes would call {_listed(changes)}: some of these are names of other classes. Give the "
                f"data set's own names in the order of the labels, or other names in its own order: {_listed(own)}."
            )
        return replace(self, classes=names, own_classes=own)

    def _reordered(self, names: tuple[str, ...]) -> ImageDataset:
        number = np.array([names.index(name) for name in self.classes], dtype=np.int64)

        def reordered(split: ImageSplit) -> ImageSplit:
            labels = number[split.labels]
            digest = sha256(split.fingerprint.encode() + labels.tobytes()).hexdigest()
            return replace(split, labels=labels, fingerprint=digest)

        return replace(self, classes=names, train=reordered(self.train), test=reordered(self.test))

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """Return the unusable images of both splits, those of the training split first."""
        return self.train.left_out + self.test.left_out


def evenly(n: int, most: int) -> NDArray[np.int64]:
    """Return at most so many of n positions, spread evenly, ascending."""
    return np.unique(np.linspace(0, max(0, n - 1), min(n, most)).astype(np.int64))


def own_classes(dataset: Any) -> Any:
    """Return the ``classes`` of a torch data set, or of the one that it is a subset of; None if there are none."""
    while not hasattr(dataset, "classes") and hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    return getattr(dataset, "classes", None)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_CLASSES]) + (" …" if len(names) > MOST_CLASSES else "")


def by_reason(bad: Sequence[tuple[str, str]]) -> list[str]:
    """Return lines that name images and why each cannot be used; many of one reason share a line.

    Parameters
    ----------
    bad : sequence of (str, str)
        Name and reason of each image. Reasons that differ only in their numbers count as one; the first is shown.

    Returns
    -------
    list of str
        At most ``MOST_NAMED`` lines and one for the rest, in the order in which the reasons come first.
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, reason in bad:
        groups.setdefault(_NUMBER.sub("#", reason), []).append((name, reason))
    lines: list[tuple[str, int]] = []
    for group in groups.values():
        if len(group) <= MOST_ALIKE:
            lines += [(f"{name}: {reason}", 1) for name, reason in group]
            continue
        named = ", ".join(name for name, _ in group[:MOST_ALIKE])
        rest = len(group) - MOST_ALIKE
        lines.append((f"{len(group):,} images: {group[0][1]} ({named} and {rest:,} more)", len(group)))
    left = sum(n for _, n in lines[MOST_NAMED:])
    return [line for line, _ in lines[:MOST_NAMED]] + ([f"and {left:,} more"] if left else [])


def refuse_bad(bad: Sequence[LeftOut], n_usable: int) -> None:
    """Name all images that cannot be used in one report.

    Parameters
    ----------
    bad : sequence of LeftOut
    n_usable : int
        How many images of the data set can be used.

    Raises
    ------
    BadImagesError
        If there is any.
    """
    if not bad:
        return
    listed = by_reason([(each.name, each.reason) for each in bad])
    if not n_usable:
        raise BadImagesError("No image of the data set can be used:", listed)
    count, it = ("1 image", "it") if len(bad) == 1 else (f"{len(bad):,} images", "them")
    raise BadImagesError(f"{count} cannot be used; mend or remove {it}, or leave {it} out with --skip-bad:", listed)
