"""Registry of the data sets known by name; each module of this package registers its own.

To add a data set, write one module beside this one and its test; see ``docs/how-to/add-a-data-set.md``.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from xda.data import known
from xda.data.dataset import ImageDataset
from xda.errors import ConfigError
from xda.progress import Progress, silent

Fetch = Callable[[Path, Progress], None]
"""Brings a data set into the data folder; does nothing if it is there and whole, DataError if no source has it."""
Load = Callable[[Path, Progress], ImageDataset]
"""Loads a fetched data set; DataError if it is absent or damaged."""


@dataclass(frozen=True, slots=True)
class KnownDataset:
    """A named data set as its module describes it."""

    name: str
    """Lower case with hyphens; people may write it with other capitals, hyphens and underscores."""
    title: str
    sources: str
    """Sources of ``fetch``, in this order; for people."""
    fetch: Fetch
    load: Load
    position: int = 99
    """Place in lists; equal positions follow the order of the modules' names."""


_registered: dict[str, KnownDataset] = {}


def register(dataset: KnownDataset) -> None:
    """Make a data set known by its name.

    Raises
    ------
    ValueError
        If another data set has that name.
    """
    if _registered.setdefault(_squeezed(dataset.name), dataset) is not dataset:
        raise ValueError(f"two data sets are called '{dataset.name}'")


def known_datasets() -> dict[str, KnownDataset]:
    """Return all registered data sets by name, in the order of lists."""
    for module in sorted(each.name for each in pkgutil.iter_modules(known.__path__)):
        importlib.import_module(f"{known.__name__}.{module}")
    return {each.name: each for each in sorted(_registered.values(), key=lambda each: each.position)}


def fetch(name: str, data_dir: Path, progress: Progress) -> None:
    """Bring a data set into the data folder; do nothing if it is complete there.

    Parameters
    ----------
    name : str
        One of ``known_datasets``.
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
    _dataset(name).fetch(data_dir, progress)


def load(name: str, data_dir: Path, *, progress: Progress = silent) -> ImageDataset:
    """Load a fetched data set.

    Parameters
    ----------
    name : str
        One of ``known_datasets``.
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
    return _dataset(name).load(data_dir, progress)


def canonical(name: str) -> str:
    """Return the registered spelling of a data set's name: fashion-mnist for ``FashionMNIST``.

    Raises
    ------
    ConfigError
        If no data set of that name is known.
    """
    return _dataset(name).name


def _dataset(name: str) -> KnownDataset:
    names = ", ".join(known_datasets())
    if _squeezed(name) not in _registered:
        raise ConfigError(f"There is no data set '{name}'; known are: {names}.")
    return _registered[_squeezed(name)]


def _squeezed(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
