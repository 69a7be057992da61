"""Clothing: 3,781 photographs of clothes in ten classes, as files in ``<data folder>/clothing/{train,test}/<class>``.

By Alexey Grigorev and those who sent him pictures (CC0), GitHub ``alexeygrigorev/clothing-dataset-small``. Its
validation and test images are our test images. Some labels are wrong: shirt, longsleeve and t-shirt are mixed up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from xda.atomic import replacing
from xda.data.dataset import ImageDataset
from xda.data.known import image_trees
from xda.data.known.downloads import well_behaved
from xda.data.known.image_trees import ImageTree
from xda.data.known.registry import KnownDataset, register
from xda.errors import DataError
from xda.progress import Progress, silent

URL = "https://github.com/alexeygrigorev/clothing-dataset-small/archive/HEAD.tar.gz"
CLASSES = ("dress", "hat", "longsleeve", "outwear", "pants", "shirt", "shoes", "shorts", "skirt", "t-shirt")
COUNTS: Mapping[str, tuple[int, ...]] = {
    "train": (241, 123, 455, 184, 468, 290, 198, 202, 112, 795),
    "test": (47, 26, 121, 62, 91, 55, 99, 55, 24, 133),
}
"""Images of each class."""
DIGEST = ".clothing-sha256"
"""File in the data folder with the SHA-256 of the archive that was downloaded first."""


def fetch(data_dir: Path, progress: Progress) -> None:
    """Put the image files into ``data_dir / "clothing"``; the folder appears when all are there.

    Sources, in this order: ``clothing.tar`` in the data folder; GitHub's archive. Nobody publishes a checksum of that
    archive: the first download is trusted, and later ones must equal it.

    Parameters
    ----------
    data_dir : Path
        The data folder; made if absent.
    progress : Progress
        Told how many images are in place.

    Raises
    ------
    DataError
        If no source has all images, or the archive is another one than at the first download.
    """
    tree, noted = _tree(), data_dir / DIGEST

    def download(staging: Path, folder: Path, progress: Progress) -> None:
        archive = staging / "clothing.tar.gz"
        _download(archive, progress)
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        first = noted.read_text().strip() if noted.exists() else digest
        if first != digest:
            raise DataError(
                f"its SHA-256 begins with {digest[:12]}, that of the first download with {first[:12]}: if you trust "
                f"the new one, remove {DIGEST} from the data folder"
            )
        image_trees.unpack(tree, archive, folder, progress)
        # not before: what is no archive of these images must not become the one that later ones must equal
        if tree.is_whole(folder):
            with replacing(noted) as stream:
                stream.write(f"{digest}\n".encode())

    image_trees.fetch(tree, data_dir, download, progress)


def load(data_dir: Path, progress: Progress = silent) -> ImageDataset:
    """Load the images from ``data_dir / "clothing"``.

    Parameters
    ----------
    data_dir : Path
        The data folder.
    progress : Progress
        Told how many images are checked; what is known of them is kept.

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
        name="clothing",
        title="Clothing",
        counts={split: dict(zip(CLASSES, counts, strict=True)) for split, counts in COUNTS.items()},
        source="GitHub",
        splits={"train": "train", "validation": "test", "test": "test"},
    )


def _download(archive: Path, progress: Progress) -> None:
    from torchvision.datasets.utils import download_url

    stage = "Fetching Clothing (GitHub)"
    # an earlier one may be half a file: nothing tells
    archive.unlink(missing_ok=True)
    progress(stage, 0, 1)
    try:
        with well_behaved():
            download_url(URL, str(archive.parent), archive.name)
    finally:
        progress(stage, 1, 1)


_SOURCES = "`clothing.tar` in the data folder; GitHub"
register(KnownDataset("clothing", "Clothing", _SOURCES, fetch=fetch, load=load, position=4))
