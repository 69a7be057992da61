"""The data sets that the product knows by name: fetching them into the data folder and loading them from there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from xda.errors import ConfigError
from xda.progress import Progress
from xda.vision import cifar10, mnist
from xda.vision.images import ImageDataset, ImageSplit

__all__ = ["NAMES", "ImageDataset", "ImageSplit", "fetch", "load"]


class _Fetch(Protocol):
    def __call__(self, data_dir: Path, progress: Progress) -> None: ...


class _Load(Protocol):
    def __call__(self, data_dir: Path) -> ImageDataset: ...


@dataclass(frozen=True, slots=True)
class _Known:
    fetch: _Fetch
    load: _Load


_KNOWN = {
    "mnist": _Known(fetch=mnist.fetch, load=mnist.load),
    "cifar10": _Known(fetch=cifar10.fetch, load=cifar10.load),
}
NAMES = tuple(_KNOWN)
"""Names that ``fetch`` and ``load`` accept."""


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
    _known(name).fetch(data_dir, progress)


def load(name: str, data_dir: Path) -> ImageDataset:
    """Load a fetched data set.

    Parameters
    ----------
    name : str
        One of ``NAMES``.
    data_dir : Path
        The data folder.

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
    return _known(name).load(data_dir)


def _known(name: str) -> _Known:
    if name not in _KNOWN:
        raise ConfigError(f"There is no data set '{name}'; known are: {', '.join(NAMES)}.")
    return _KNOWN[name]
