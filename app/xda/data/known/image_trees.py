"""Data sets as folders of image files, ``<data folder>/<name>/{train,test}/<class>/*``, unpacked from one archive.

The folder appears when all images are there. Nothing of an archive is trusted: only regular files that lie in a folder
of a known class are written, under names of their own, and no more of them than limits allow.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from xda.data.dataset import ImageDataset
from xda.data.image_folders import SUFFIXES, load_split
from xda.data.known.downloads import in_short
from xda.errors import DataError
from xda.progress import Progress

MOST_MEMBERS = 200_000
MOST_MEMBER_BYTES = 1 << 26
MOST_BYTES = 1 << 33

Download = Callable[[Path, Path, Progress], None]
"""Called as ``download(staging, folder, progress)``: brings the images into the folder.

The staging folder is kept after a failure and removed after a success.
"""


@dataclass(frozen=True, slots=True)
class ImageTree:
    """A data set that is known by its numbers of images."""

    name: str
    title: str
    counts: Mapping[str, Mapping[str, int]]
    """Images of each class in each split; the classes in the order of their labels."""
    source: str
    """Where a download comes from; for people."""
    splits: Mapping[str, str]
    """Which split a folder of the archive belongs to."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(self.counts["train"])

    @property
    def total(self) -> int:
        """Number of images."""
        return sum(sum(each.values()) for each in self.counts.values())

    def is_whole(self, folder: Path) -> bool:
        """Tell whether a folder has as many files of each class as the data set."""
        return all(
            (folder / split / name).is_dir() and sum(1 for _ in os.scandir(folder / split / name)) == count
            for split, classes in self.counts.items()
            for name, count in classes.items()
        )


def fetch(tree: ImageTree, data_dir: Path, download: Download, progress: Progress) -> None:
    """Put the image files into ``data_dir / tree.name``; does nothing if they are there.

    Parameters
    ----------
    tree : ImageTree
    data_dir : Path
        The data folder; made if absent. An archive ``<name>.tar`` in it is taken before anything is downloaded.
    download : callable
    progress : Progress
        Told how many images are in place.

    Raises
    ------
    DataError
        If no source has all images, or the folder holds something else.
    """
    folder, unfinished = data_dir / tree.name, data_dir / f".{tree.name}-unfinished"
    if tree.is_whole(folder):
        return
    if folder.exists():
        raise DataError(f"{folder} exists but does not hold all of {tree.title}; move it away and try again.")
    shutil.rmtree(unfinished, ignore_errors=True)
    archive, staging = data_dir / f"{tree.name}.tar", data_dir / f".{tree.name}-download"
    try:
        unfinished.mkdir(parents=True)
        if archive.is_file():
            unpack(tree, archive, unfinished, progress)
        else:
            download(staging, unfinished, progress)
        if not tree.is_whole(unfinished):
            raise DataError("images are missing")
        unfinished.rename(folder)
    except (DataError, OSError, RuntimeError, EOFError, tarfile.TarError) as error:
        raise DataError(
            f"{tree.title} could not be fetched from {archive if archive.is_file() else tree.source} "
            f"({in_short(error)}). Put {archive.name}, with train/<class>/ and test/<class>/, into {data_dir}."
        ) from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(staging, ignore_errors=True)


def load(tree: ImageTree, data_dir: Path, progress: Progress) -> ImageDataset:
    """Load the images from ``data_dir / tree.name``; what is known of each is kept beside them.

    Raises
    ------
    DataError
        If images are missing.
    """
    folder = data_dir / tree.name
    if not tree.is_whole(folder):
        raise DataError(f"{folder} does not hold all of {tree.title}; run `xda data {tree.name}` to fetch it.")
    kept = data_dir / f".{tree.name}-checked"
    train, test = (
        load_split(folder / split, tree.classes, kept=kept / f"{split}.parquet", progress=progress)
        for split in tree.counts
    )
    return ImageDataset(name=tree.name, title=tree.title, classes=tree.classes, train=train, test=test)


def unpack(tree: ImageTree, archive: Path, folder: Path, progress: Progress) -> None:
    """Write the images of an archive, compressed or not, as ``folder/<split>/<class>/<file>``.

    Raises
    ------
    DataError
        If an image is no regular file, two have one name, or there is more than the limits allow.
    tarfile.TarError, OSError, EOFError
        If the archive is damaged.
    """
    stage = f"Unpacking {tree.title}"
    with tarfile.open(archive) as tar:
        for done, (member, path) in enumerate(_images(tree, tar), 1):
            if (folder / path).exists():
                raise DataError(f"two images are called {path}")
            # the filter refuses what leads out of the folder, and takes rights and owners away
            tar.extract(member.replace(name=path), folder, filter="data")
            progress(stage, min(done, tree.total), tree.total)


def _images(tree: ImageTree, tar: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, str]]:
    """Yield the members that are images, each with its path; others are passed over but counted."""
    n_bytes = 0
    for number, member in enumerate(tar, 1):
        n_bytes += member.size
        if number > MOST_MEMBERS or member.size > MOST_MEMBER_BYTES or n_bytes > MOST_BYTES:
            raise DataError(f"it holds more than {tree.title} can, at '{member.name[:80]}'")
        parts = PurePosixPath(member.name).parts[-3:]
        if member.isdir() or len(parts) < 3 or parts[0] not in tree.splits or parts[1] not in tree.classes:
            continue
        split, label, file = parts
        if file.startswith(".") or not file.lower().endswith(SUFFIXES):
            continue
        if not member.isreg():
            raise DataError(f"'{member.name[:80]}' is no regular file")
        yield member, f"{tree.splits[split]}/{label}/{file}"
