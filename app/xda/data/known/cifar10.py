"""CIFAR-10: 50,000 + 10,000 colour images, 32 x 32, as files in ``<data folder>/cifar10/{train,test}/<class>``."""

from __future__ import annotations

from pathlib import Path

from xda.data.dataset import ImageDataset
from xda.data.known import image_trees
from xda.data.known.downloads import torchvision_download
from xda.data.known.image_trees import ImageTree
from xda.data.known.registry import KnownDataset, register
from xda.progress import Progress, silent

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PER_CLASS = {"train": 5000, "test": 1000}


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
    image_trees.fetch(_tree(), data_dir, _download, progress)


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
    return image_trees.load(_tree(), data_dir, progress)


def _tree() -> ImageTree:
    return ImageTree(
        name="cifar10",
        title="CIFAR-10",
        counts={split: dict.fromkeys(CLASSES, count) for split, count in PER_CLASS.items()},
        source="torchvision",
        splits={"train": "train", "test": "test"},
    )


def _download(staging: Path, folder: Path, progress: Progress) -> None:
    import torchvision

    with torchvision_download("CIFAR-10", progress):
        splits = {
            split: torchvision.datasets.CIFAR10(str(staging), train=split == "train", download=True)
            for split in PER_CLASS
        }
    done, total = 0, _tree().total
    for split, dataset in splits.items():
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True)
        for number in range(len(dataset)):
            image, label = dataset[number]
            image.save(folder / split / CLASSES[label] / f"{number:05d}.png")
            done += 1
            progress("Writing CIFAR-10", done, total)


_SOURCES = "`cifar10.tar` in the data folder; torchvision"
register(KnownDataset("cifar10", "CIFAR-10", _SOURCES, fetch=fetch, load=load, position=3))
