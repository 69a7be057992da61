"""Finds the part of an original image that the network sees; the heat-map is placed over it.

The network's input is the original, resized and cropped; a heat-map has the size of that input. ``seen_region`` runs
the two steps backwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Resizing(Protocol):
    """The steps of a ``xda.data.preprocessing.Preprocessing`` that decide the region."""

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the network's input."""

    @property
    def resize(self) -> int | None:
        """Pixels that the shorter side is resized to before cropping; None: straight to ``size``."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in the coordinates of an original image, in pixels; edges, so not always whole numbers."""

    left: float
    top: float
    width: float
    height: float


def resized_size(original: tuple[int, int], shorter: int) -> tuple[int, int]:
    """Return (width, height) of an image after its shorter side is resized, as by torchvision's ``Resize(int)``.

    Parameters
    ----------
    original : tuple of int
        (width, height).
    shorter : int
        Pixels of the shorter side afterwards; the longer one is rounded down.
    """
    width, height = original
    if width <= height:
        return shorter, max(1, int(shorter * height / width))
    return max(1, int(shorter * width / height)), shorter


def crop_offset(outer: int, inner: int) -> int:
    """Return the first pixel of a centred crop, as in torchvision's ``CenterCrop``; negative if the crop pads."""
    if outer >= inner:
        return round((outer - inner) / 2)
    return -((inner - outer) // 2)


def seen_region(original: tuple[int, int], preprocessing: Resizing) -> Box:
    """Return the part of an original image that becomes the network's input.

    Parameters
    ----------
    original : tuple of int
        (width, height) of the upright original.
    preprocessing : Resizing

    Returns
    -------
    Box
        In pixels of the original; it reaches beyond the original where the crop pads.
    """
    width, height = original
    if preprocessing.resize is None:
        return Box(0.0, 0.0, float(width), float(height))
    resized = resized_size(original, preprocessing.resize)
    inner_height, inner_width = preprocessing.size
    x, y = width / resized[0], height / resized[1]
    return Box(
        left=crop_offset(resized[0], inner_width) * x,
        top=crop_offset(resized[1], inner_height) * y,
        width=inner_width * x,
        height=inner_height * y,
    )


@dataclass(frozen=True, slots=True)
class Place:
    """The position of the network's input on an original."""

    original: tuple[int, int]
    """(width, height) of the upright original."""
    seen: Box
    """The part that the network saw, in pixels of the original."""
    grid: tuple[int, int]
    """(width, height) of the network's input and of the heat-map."""

    @property
    def is_whole(self) -> bool:
        """Whether the heat-map covers the whole original in the same aspect ratio."""
        width, height = self.original
        return self.seen == Box(0.0, 0.0, float(width), float(height)) and width * self.grid[1] == height * self.grid[0]


def place_of(original: tuple[int, int], preprocessing: Resizing) -> Place:
    """Return the position of the heat-map on an original of (width, height)."""
    height, width = preprocessing.size
    return Place(original, seen_region(original, preprocessing), (width, height))
