"""The images that a configuration names, of whatever kind they are, as one data set."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Sequence
from pathlib import Path

from xda.errors import ConfigError, DataError
from xda.progress import Progress, silent
from xda.services.config import DataTable
from xda.settings import Settings
from xda.vision import datasets, image_folder, parquet
from xda.vision.images import ImageDataset, refuse_bad


def load_dataset(table: DataTable, settings: Settings, *, progress: Progress = silent) -> ImageDataset:
    """Load the data set of a configuration and look at every image once.

    Parameters
    ----------
    table : DataTable
        ``[data]`` of the configuration, with paths that are no longer relative to its file.
    settings : Settings
        Where known data sets are, and where what is known of images is kept between calls.
    progress : Progress

    Returns
    -------
    ImageDataset
        Without the images that cannot be used; ``left_out`` names them.

    Raises
    ------
    ConfigError
        If the configuration does not fit what is there.
    DataError
        If images are missing, or some cannot be used and ``skip_bad`` is off: one report names them all.
    """
    dataset = _load(table, settings, progress)
    if table.classes is not None and table.factory is None:
        dataset = dataset.with_classes(table.classes)
    if not table.skip_bad:
        refuse_bad(dataset.left_out)
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        if not len(split):
            raise DataError(f"The {name} split has no image that can be used; look at what is left out of it.")
    return dataset


def _load(table: DataTable, settings: Settings, progress: Progress) -> ImageDataset:
    if table.name is not None:
        return datasets.load(table.name, settings.data_dir, progress=progress)
    if table.factory is not None:
        # only here: it loads torch, which the other kinds do without
        from xda.vision.torch_datasets import load_factory_dataset

        return load_factory_dataset(table.factory, classes=table.classes, progress=progress)
    train, test = ([str(path) for path in paths] for paths in (table.train, table.test))
    kept = settings.cache_dir / "images" / hashlib.sha256(repr((train, test)).encode()).hexdigest()[:32]
    title = _title([*table.train, *table.test])
    if table.is_parquet:
        return parquet.load(train, test, image=table.image, label=table.label, name=title, kept=kept, progress=progress)
    return _folders(table, title, kept, progress)


def _folders(table: DataTable, title: str, kept: Path, progress: Progress) -> ImageDataset:
    if table.image or table.label:
        raise ConfigError("[data] image and label are columns of Parquet files, but train names a folder of images.")
    if len(table.train) != 1 or len(table.test) != 1:
        raise ConfigError("[data] train and test must each be one folder; several are for Parquet files only.")
    folders = {"train": table.train[0], "test": table.test[0]}
    classes = image_folder.class_names(folders["train"])
    train, test = (
        image_folder.load_split(folder, classes, kept=kept / f"{split}.parquet", progress=progress)
        for split, folder in folders.items()
    )
    return ImageDataset(title, title, classes, train, test)


def _title(paths: Sequence[Path]) -> str:
    """Return what the data set is called: the folder that all of it is in."""
    parents = [path.resolve() for path in paths]
    common = next((folder for folder in parents[0].parents if all(folder in each.parents for each in parents)), None)
    return (common.name if common is not None and not glob.has_magic(common.name) else "") or "images"
