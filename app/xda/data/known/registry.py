"""The data sets that the product knows by name: fetching them into the data folder and loading them from there."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from xda.data.dataset import ImageDataset, ImageSplit
from xda.data.known import cifar10, fashion_mnist, mnist, torchvision_sets
from xda.errors import ConfigError
from xda.progress import Progress, silent

__all__ = ["NAMES", "ImageDataset", "ImageSplit", "fetch", "load"]


class _Fetch(Protocol):
    def __call__(self, data_dir: Path, progress: Progress) -> None: ...


class _Load(Protocol):
    def __call__(self, data_dir: Path, progress: Progress) -> ImageDataset: ...


def _whole(load: Callable[[Path], ImageDataset]) -> _Load:
    """Return the loader of a set that comes in few files, which needs no report of its progress."""
    return lambda data_dir, progress: load(data_dir)


@dataclass(frozen=True, slots=True)
class _Known:
    fetch: _Fetch
    load: _Load


_KNOWN = {
    "mnist": _Known(fetch=mnist.fetch, load=_whole(mnist.load)),
    "fashion-mnist": _Known(fetch=fashion_mnist.fetch, load=_whole(fashion_mnist.load)),
    "cifar10": _Known(fetch=cifar10.fetch, load=cifar10.load),
}
NAMES = (*_KNOWN, *torchvision_sets.SETS)
"""Names that ``fetch`` and ``load`` accept; they may be written with other capitals, hyphens and underscores."""


def fetch(name: str, data_dir: Path, progress: Progress) -> None:
    """Bring a data set into the data folder; does nothing if it is there and whole.

    Parameters
    ----------
    name : str
        One of ``NAMES``.
    data_dir : Path
        The data folder.
    progress : Progress
        Told how far each file is.

    Raises
    ------
    ConfigError
        If no data set of that name is known.
    DataError
        If no source has the data with the right checksums.
    """
    name = canonical(name)
    if name in _KNOWN:
        _KNOWN[name].fetch(data_dir, progress)
    else:
        torchvision_sets.fetch(name, data_dir, progress)


def load(name: str, data_dir: Path, *, progress: Progress = silent) -> ImageDataset:
    """Load a fetched data set.

    Parameters
    ----------
    name : str
        One of ``NAMES``.
    data_dir : Path
        The data folder.
    progress : Progress
        Told how many images are checked, where they are files.

    Returns
    -------
    ImageDataset

    Raises
    ------
    ConfigError
        If no data set of that name is known.
    DataError
        If the data set is absent or damaged.
    """
    name = canonical(name)
    if name in _KNOWN:
        return _KNOWN[name].load(data_dir, progress)
    return torchvision_sets.load(name, data_dir, progress=progress)


def canonical(name: str) -> str:
    """Return a data set's name as it stands in ``NAMES``: ``FashionMNIST`` is fashion-mnist.

    Raises
    ------
    ConfigError
        If no data set of that name is known.
    """
    squeezed = {_squeezed(known): known for known in NAMES}
    if _squeezed(name) not in squeezed:
        raise ConfigError(f"There is no data set '{name}'; known are: {', '.join(NAMES)}.")
    return squeezed[_squeezed(name)]


def _squeezed(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
