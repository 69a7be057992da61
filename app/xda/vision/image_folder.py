"""Folder trees of image files, one folder for each class: ``<split>/<class>/<file>``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xda.errors import DataError
from xda.vision.images import ImageSplit

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Files with these names, in either case, are images; others are passed over."""


@dataclass(frozen=True, slots=True)
class FileSource:
    """Images that are files."""

    paths: tuple[Path, ...]

    def encoded(self, index: int) -> bytes:
        """Return the file.

        Raises
        ------
        DataError
            If it cannot be read any more.
        """
        try:
            return self.paths[index].read_bytes()
        except OSError as error:
            raise DataError(f"The image {self.paths[index]} cannot be read ({error.strerror}).") from None

    def pixels(self, indices: NDArray[np.int64]) -> NDArray[np.uint8] | None:
        """Return None: files must be decoded."""
        return None


def class_names(folder: Path) -> tuple[str, ...]:
    """Return the names of the class folders, in alphabetical order.

    Raises
    ------
    DataError
        If the folder is absent or holds fewer than two.
    """
    names = tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir())) if folder.is_dir() else ()
    if len(names) < 2:
        raise DataError(f"{folder} must be a folder with one folder of images for each of at least two classes.")
    return names


def load_split(folder: Path, classes: tuple[str, ...]) -> ImageSplit:
    """Load one split: files by class and, within a class, by name.

    Parameters
    ----------
    folder : Path
        Holds a folder for each class; images may lie deeper in it.
    classes : tuple of str
        Names of the class folders; the label is the position.

    Returns
    -------
    ImageSplit

    Raises
    ------
    DataError
        If the folder has other classes, or no images.
    """
    found = class_names(folder)
    if unknown := set(found) - set(classes):
        raise DataError(f"{folder} has a folder '{min(unknown)}' for which the training images have no class.")
    paths: list[Path] = []
    labels: list[int] = []
    digest = hashlib.sha256()
    for label, name in enumerate(classes):
        files = sorted(path for path in (folder / name).rglob("*") if path.suffix.lower() in SUFFIXES)
        for path in files:
            digest.update(f"{label} ".encode())
            with path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        paths += files
        labels += [label] * len(files)
    if not paths:
        raise DataError(f"{folder} holds no image files ({', '.join(SUFFIXES)}).")
    return ImageSplit(np.array(labels, dtype=np.int64), digest.hexdigest(), FileSource(tuple(paths)))
