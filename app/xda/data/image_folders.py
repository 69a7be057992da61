"""Folder trees of image files, one folder for each class: ``<split>/<class>/<file>``."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from xda.data.checking import checked_split, examine_files, for_people, is_text
from xda.data.dataset import ImageSource, ImageSplit, LeftOut
from xda.data.regular_files import read_regular
from xda.errors import DataError
from xda.progress import Progress, silent

SUFFIXES = (".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Files with these suffixes, in either case, are taken for images of any format; others are passed over."""

_OUTWARD = "it is a link that leads out of the folder; set follow_links = true under [data] to follow such links"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FileSource(ImageSource):
    """Images that are files."""

    paths: tuple[str, ...]
    folder: str = ""
    """The folder that holds them; their origins leave it out."""
    name: str = ""
    """Name of the folder in the images' origins."""

    def origin(self, index: int) -> str:
        """Return the path relative to the data set."""
        path = self.paths[index]
        inner = path.removeprefix(self.folder + os.sep) if self.folder else path
        return f"{self.name}/{inner}" if self.name else inner

    def encoded(self, index: int) -> bytes:
        """Return the file.

        Raises
        ------
        DataError
            If it cannot be read any more.
        """
        path = self.paths[index]
        try:
            return read_regular(path)
        except OSError as error:
            raise DataError(f"The image {for_people(path)} cannot be read ({error.strerror}).") from None


def class_names(folder: Path) -> tuple[str, ...]:
    """Return the names of the class folders, in alphabetical order; hidden ones are no classes.

    Raises
    ------
    DataError
        If the folder is absent or holds fewer than two, or a name is no text.
    """
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "does not exist"
        raise DataError(f"{folder} {found}; name a folder with one folder of images for each class.")
    entries = folder.iterdir()
    names = tuple(sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")))
    if len(names) < 2:
        only = f"only the folder '{for_people(names[0])}'" if names else "no folder"
        raise DataError(f"{folder} holds {only}; one folder of images is needed for each of at least two classes.")
    if strange := next((name for name in names if not is_text(name)), None):
        raise DataError(f"{folder} has a folder '{for_people(strange)}' whose name is not UTF-8; give it another name.")
    return names


def load_split(
    folder: Path,
    classes: tuple[str, ...],
    *,
    base: Path | None = None,
    follow_links: bool = False,
    kept: Path | None = None,
    progress: Progress = silent,
) -> ImageSplit:
    """Load one split: files by class and, within a class, in the order of torchvision's ``ImageFolder``.

    Parameters
    ----------
    folder : Path
        Holds a folder for each class; images may lie deeper in it. Hidden files and folders are passed over.
    classes : tuple of str
        Names of the class folders; the label is the position.
    base : Path, optional
        Folder of the data set, to which origins are relative; by default the parent of the split's folder.
    follow_links : bool
        Whether to follow links that lead out of the folder; links within the folder are always followed.
    kept : Path, optional
        File that keeps the verdict on each image, so that only new images are read.
    progress : Progress
        Told how many files are checked.

    Returns
    -------
    ImageSplit
        Of the images that can be used; the others are named in ``left_out``.

    Raises
    ------
    DataError
        If the folder has other classes, or no images, or a link to a folder leads out of it.
    """
    found = class_names(folder)
    if unknown := set(found) - set(classes):
        raise DataError(f"{folder} has a folder '{min(unknown)}' for which the training images have no class.")
    labels: list[int] = []
    paths: list[str] = []
    other: list[str] = []
    outward: list[LeftOut] = []
    inside = None if follow_links else os.path.realpath(folder)
    for label, name in enumerate(classes):
        listed, passed_over = _files(folder / name, inside)
        images = [path for path in listed if inside is None or not _leads_out(path, inside)]
        outward += [LeftOut(for_people(path), _OUTWARD) for path in sorted(set(listed) - set(images))]
        paths += images
        other += passed_over
        labels += [label] * len(images)
    if other:
        logger.warning(
            "%s: passed over %d file(s) without the suffix of an image, for example %s.",
            folder,
            len(other),
            for_people(other[0]),
        )
    if not paths and not outward:
        raise DataError(f"{folder} holds no image files ({', '.join(SUFFIXES)}).")
    resolved = folder.resolve()
    seen_from = base if base is not None and base in resolved.parents else resolved.parent
    seen_as = str(folder), resolved.relative_to(seen_from).as_posix()
    split = _checked(paths, labels, seen_as, kept, progress, f"Checking images of {folder.name}")
    return replace(split, left_out=(*outward, *split.left_out))


def load_files(
    paths: Sequence[str],
    labels: Sequence[int],
    *,
    base: Path | None = None,
    kept: Path | None = None,
    progress: Progress = silent,
) -> ImageSplit:
    """Return a split of given files; parameters as for ``load_split``, with one label for each file."""
    seen_as = ("" if base is None else str(base), "")
    return _checked(list(paths), list(labels), seen_as, kept, progress, "Checking images")


def _checked(
    paths: list[str], labels: list[int], seen_as: tuple[str, str], kept: Path | None, progress: Progress, stage: str
) -> ImageSplit:
    verdicts = [
        each[0]
        for each in examine_files(paths, lambda path: [read_regular(path)], kept=kept, progress=progress, stage=stage)
    ]
    return checked_split(
        zip(map(for_people, paths), labels, verdicts, strict=True),
        lambda places: FileSource(tuple(paths[place] for place in places.tolist()), *seen_as),
    )


def _leads_out(path: str, folder: str) -> bool:
    """Whether a path is a link that leads out of a folder."""
    return os.path.islink(path) and not _is_below(os.path.realpath(path), folder)


def _is_below(real: str, folder: str) -> bool:
    return os.path.commonpath((real, folder)) == folder


def _files(folder: Path, inside: str | None) -> tuple[list[str], list[str]]:
    """Return the images below a folder and the files passed over; each link to a folder is followed once."""
    images: list[str] = []
    other: list[str] = []
    visited: set[str] = set()
    found: list[tuple[str, list[str]]] = []
    for root, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(root)
        if inside is not None and not _is_below(real, inside):
            raise DataError(
                f"The folder {for_people(root)} is a link that leads out of {inside}; copy what it holds, or set "
                "follow_links = true under [data] if you trust whoever made the link."
            )
        # a link to a folder above would be walked for ever
        folders[:] = [] if real in visited else [name for name in folders if not name.startswith(".")]
        if real not in visited:
            found.append((root, names))
        visited.add(real)
    for root, names in sorted(found):
        for name in sorted(names):
            if not name.startswith("."):
                listed = images if name.lower().endswith(SUFFIXES) else other
                listed.append(os.path.join(root, name))
    return images, other
