"""CIFAR-10: 50,000 + 10,000 colour images, 32 x 32, as files in ``<data folder>/cifar10/{train,test}/<class>``."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

from xda.data.dataset import ImageDataset
from xda.data.image_folders import load_split
from xda.data.known.downloads import in_short, torchvision_download
from xda.data.known.registry import KnownDataset, register
from xda.errors import DataError
from xda.progress import Progress, silent

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PER_CLASS = {"train": 5000, "test": 1000}
_DOWNLOADED = ".cifar10-torchvision"
_UNFINISHED = ".cifar10-unfinished"
_CHECKED = ".cifar10-checked"


def fetch(data_dir: Path, progress: Progress) -> None:
    """Put the image files into ``data_dir / "cifar10"``; the folder appears once it is complete.

    Sources, in this order: ``cifar10.tar`` in the data folder (``train/<class>/*``, ``test/<class>/*``); torchvision's
    download, whose checksums torchvision verifies, written as PNG.

    Parameters
    ----------
    data_dir : Path
        The data folder; made if absent.
    progress : Progress
        Told how many images are in place.

    Raises
    ------
    DataError
        If no source has all images.
    """
    folder, unfinished = data_dir / "cifar10", data_dir / _UNFINISHED
    if _is_complete(folder):
        return
    if folder.exists():
        raise DataError(f"{folder} exists but does not hold all of CIFAR-10; move it away and try again.")
    shutil.rmtree(unfinished, ignore_errors=True)
    archive = data_dir / "cifar10.tar"
    try:
        unfinished.mkdir(parents=True)
        if archive.is_file():
            _unpack(archive, unfinished, progress)
        else:
            _download(data_dir / _DOWNLOADED, unfinished, progress)
        if not _is_complete(unfinished):
            raise DataError("images are missing")
        unfinished.rename(folder)
    except (DataError, OSError, RuntimeError, tarfile.TarError) as error:
        raise DataError(
            f"CIFAR-10 could not be fetched from {archive if archive.is_file() else 'torchvision'} "
            f"({in_short(error)}). Put cifar10.tar, with train/<class>/ and test/<class>/, into {data_dir}."
        ) from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(data_dir / _DOWNLOADED, ignore_errors=True)


def load(data_dir: Path, progress: Progress = silent) -> ImageDataset:
    """Load the images from ``data_dir / "cifar10"``.

    Parameters
    ----------
    data_dir : Path
        The data folder.
    progress : Progress
        Told how many images are checked; the verdicts are kept.

    Returns
    -------
    ImageDataset

    Raises
    ------
    DataError
        If images are missing.
    """
    folder = data_dir / "cifar10"
    if not _is_complete(folder):
        raise DataError(f"{folder} does not hold all of CIFAR-10; run `xda data cifar10` to fetch it.")
    train, test = (
        load_split(folder / split, CLASSES, kept=data_dir / _CHECKED / f"{split}.parquet", progress=progress)
        for split in PER_CLASS
    )
    return ImageDataset(name="cifar10", title="CIFAR-10", classes=CLASSES, train=train, test=test)


def _is_complete(folder: Path) -> bool:
    return all(
        (folder / split / name).is_dir() and sum(1 for _ in os.scandir(folder / split / name)) == count
        for split, count in PER_CLASS.items()
        for name in CLASSES
    )


def _total() -> int:
    return len(CLASSES) * sum(PER_CLASS.values())


def _unpack(archive: Path, folder: Path, progress: Progress) -> None:
    done = 0
    with tarfile.open(archive) as tar:
        for member in tar:
            tar.extract(member, folder, filter="data")
            done += member.isfile()
            progress("Unpacking CIFAR-10", min(done, _total()), _total())


def _download(staging: Path, folder: Path, progress: Progress) -> None:
    import torchvision

    with torchvision_download("CIFAR-10", progress):
        splits = {
            split: torchvision.datasets.CIFAR10(str(staging), train=split == "train", download=True)
            for split in PER_CLASS
        }
    done = 0
    for split, dataset in splits.items():
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True)
        for number in range(len(dataset)):
            image, label = dataset[number]
            image.save(folder / split / CLASSES[label] / f"{number:05d}.png")
            done += 1
            progress("Writing CIFAR-10", done, _total())


_SOURCES = "`cifar10.tar` in the data folder; torchvision"
register(KnownDataset("cifar10", "CIFAR-10", _SOURCES, fetch=fetch, load=load, position=3))
