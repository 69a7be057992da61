"""Loads the data set that a configuration names."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from xda.build.config import DataTable
from xda.data import image_folders, parquet
from xda.data.dataset import ImageDataset, by_reason, refuse_bad
from xda.data.known import registry
from xda.errors import BadImagesError, ConfigError, DataError
from xda.progress import Progress, silent
from xda.settings import Settings

_UNNAMED = "images"
_PLAIN = ("images", "image", "imgs", "data", "dataset", "datasets")
"""Folder names that say nothing about the content."""


def load_dataset(table: DataTable, settings: Settings, *, progress: Progress = silent) -> ImageDataset:
    """Load the data set of a configuration and check every image once.

    Parameters
    ----------
    table : DataTable
        ``[data]`` of the configuration, its relative paths already resolved.
    settings : Settings
        Gives the folder of known data sets, and the cache of earlier checks of images.
    progress : Progress

    Returns
    -------
    ImageDataset
        The usable images; ``left_out`` names the others.

    Raises
    ------
    ConfigError
        The configuration does not fit the data.
    DataError
        Images are missing, or some are unusable and ``skip_bad`` is off; one report names them all.
    """
    dataset = _load(table, settings, progress)
    if table.classes is not None and table.factory is None:
        dataset = dataset.with_classes(table.classes)
    if not table.skip_bad:
        refuse_bad(dataset.left_out, len(dataset.train) + len(dataset.test))
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        if not len(split):
            if not split.left_out:
                raise DataError(f"The {name} split has no images; add some.")
            reasons = by_reason([(each.name, each.reason) for each in split.left_out])
            raise BadImagesError(f"The {name} split has no image that can be used:", reasons)
    if len(dataset.classes) < 2:
        raise DataError(
            f"The data set has one class only, '{dataset.classes[0]}'; a classifier tells at least two apart."
        )
    return dataset


def _load(table: DataTable, settings: Settings, progress: Progress) -> ImageDataset:
    if table.name is not None:
        return registry.load(table.name, settings.data_dir, progress=progress)
    if table.factory is not None:
        # Imported here since it loads torch, which the other kinds do not need.
        from xda.data.torch import load_factory_dataset

        return load_factory_dataset(table.factory, classes=table.classes, progress=progress)
    train, test = ([str(path) for path in paths] for paths in (table.train, table.test))
    kept = settings.cache_dir / "images" / hashlib.sha256(repr((train, test)).encode()).hexdigest()[:32]
    folder = _common_folder([*table.train, *table.test])
    # part of every fingerprint of the images' stages
    name = folder.name if folder is not None else _UNNAMED
    if table.is_parquet:
        found = parquet.load(
            train, test, image=table.image, label=table.label, name=name, base=folder, kept=kept, progress=progress
        )
    else:
        found = _folders(table, name, folder, kept, progress)
    return replace(found, title=_title(folder))


def _folders(table: DataTable, name: str, base: Path | None, kept: Path, progress: Progress) -> ImageDataset:
    if table.image or table.label:
        raise ConfigError("[data] image and label are columns of Parquet files, but train names a folder of images.")
    if len(table.train) != 1 or len(table.test) != 1:
        raise ConfigError("[data] train and test must each be one folder; several are for Parquet files only.")
    folders = {"train": table.train[0], "test": table.test[0]}
    classes = image_folders.class_names(folders["train"])
    train, test = (
        image_folders.load_split(
            path,
            classes,
            base=base,
            follow_links=table.follow_links,
            kept=kept / f"{split}.parquet",
            progress=progress,
        )
        for split, path in folders.items()
    )
    return ImageDataset(name, name, classes, train, test)


def _common_folder(paths: Sequence[Path]) -> Path | None:
    """Return the folder that contains the whole data set, if it has a name."""
    parents = [path.resolve() for path in paths]
    common = next((folder for folder in parents[0].parents if all(folder in each.parents for each in parents)), None)
    return common if common is not None and common.name and not glob.has_magic(common.name) else None


def _title(folder: Path | None) -> str:
    """Return the folder's name for people; if it says nothing, the name of its parent folder."""
    if folder is None:
        return _UNNAMED
    plain = folder.name.lower() in _PLAIN and folder.parent.name
    return folder.parent.name if plain else folder.name
