"""Checks of images: each is decoded and hashed once, and the answers are kept, so that later starts are cheap.

An answer is kept with the path, size and modification time of the file it was read from; while these are the same, the
file is not read again. 100,000 files then cost as many calls of ``stat``.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xda.atomic import replacing
from xda.data.dataset import ImageSource, ImageSplit, LeftOut, ReadOtherwise
from xda.data.decoding import BadImageError, read
from xda.progress import Progress, silent

_SMALLEST = 64
"""The check decodes a JPEG at a fraction of its size, which still reads every bit of it."""
_SETTLED_SECONDS = 2.0
"""A file may change twice within the clock's resolution, so verdicts on files younger than this are not kept."""
_BYTES_AT_ONCE = 4 * 2**20
_IMAGES_AT_ONCE = 64
_BYTES_WAITING = 2**28
"""About so many bytes of images are read ahead of the threads."""
_WORTH_A_THREAD = 20_000
"""Threads help only for images of at least so many bytes; on smaller ones they mostly wait for Python's lock."""
_FORMAT = 2

Stamp = tuple[int, int]
"""Size in bytes and time of modification in nanoseconds."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of the check of one image."""

    sha256: bytes
    """SHA-256 of the file, 32 bytes."""
    problem: str
    """The reason why it cannot be used; empty if it can."""
    otherwise: bool = False
    """Whether torchvision's default loader gives other pixels (``decoding.read``)."""


def examine(data: bytes | None) -> Verdict:
    """Decode an image and hash its bytes; None stands for a missing image."""
    if data is None:
        return Verdict(bytes(32), "there are no bytes")
    problem, otherwise = "", False
    try:
        otherwise = read(data, longest=_SMALLEST)[1]
    except BadImageError as error:
        problem = error.reason
    return Verdict(hashlib.sha256(data).digest(), problem, otherwise)


def examine_files(
    files: Sequence[str],
    read: Callable[[str], Iterable[bytes | None]],
    *,
    kept: Path | None = None,
    progress: Progress = silent,
    stage: str = "Checking images",
) -> list[list[Verdict]]:
    """Examine all images in files.

    Parameters
    ----------
    files : sequence of str
        Paths, each of one file with any number of images.
    read : callable
        Yields the encoded images of a file, in order; None for one without bytes. May raise OSError.
    kept : Path, optional
        File that keeps the verdicts between calls.
    progress : Progress
        Told how many files are done.
    stage : str

    Returns
    -------
    list of list of Verdict
        For each file, those of its images. A file that cannot be read counts as one bad image.
    """
    known = _load(kept)
    started = time.time_ns()
    found: list[list[Verdict]] = [[] for _ in files]
    stamps: list[Stamp | None] = []
    waiting: list[int] = []
    for place, path in enumerate(files):
        stamp = _stamp(path)
        stamps.append(stamp)
        earlier = known.get(path)
        if earlier is not None and earlier[0] == stamp:
            found[place] = earlier[1]
        else:
            waiting.append(place)
    turn = {place: number for number, place in enumerate(waiting)}
    for done, (place, verdict) in enumerate(_examined(_images(files, waiting, read))):
        found[place].append(verdict)
        if done % 500 == 0:
            progress(stage, turn[place], len(waiting))
    if waiting:
        progress(stage, len(waiting), len(waiting))
    if kept is not None and waiting:
        limit = started - int(_SETTLED_SECONDS * 1e9)
        settled = {
            path: (stamp, verdicts)
            for path, stamp, verdicts in zip(files, stamps, found, strict=True)
            if stamp is not None and stamp[1] < limit
        }
        _save(kept, settled)
    return found


def checked_split(
    images: Iterable[tuple[str, int, Verdict]], source: Callable[[NDArray[np.int64]], ImageSource]
) -> ImageSplit:
    """Return the split of the images that can be used; the others are in ``left_out``.

    Parameters
    ----------
    images : iterable of (str, int, Verdict)
        Name for people, label and verdict of each image.
    source : callable
        Returns the source of the usable images from their positions among all, int64, shape (N,).

    Returns
    -------
    ImageSplit
    """
    digest = hashlib.sha256()
    labels: list[int] = []
    places: list[int] = []
    bad: list[LeftOut] = []
    otherwise: list[str] = []
    for place, (name, label, verdict) in enumerate(images):
        if verdict.problem:
            bad.append(LeftOut(name, verdict.problem))
            continue
        digest.update(f"{label} ".encode() + verdict.sha256)
        if verdict.otherwise:
            otherwise.append(name)
        labels.append(label)
        places.append(place)
    return ImageSplit(
        labels=np.array(labels, dtype=np.int64),
        fingerprint=digest.hexdigest(),
        source=source(np.array(places, dtype=np.int64)),
        left_out=tuple(bad),
        otherwise=ReadOtherwise.of(otherwise),
    )


def _images(
    files: Sequence[str], places: Iterable[int], read: Callable[[str], Iterable[bytes | None]]
) -> Iterator[tuple[int, bytes | OSError | None]]:
    for place in places:
        try:
            for data in read(files[place]):
                yield place, data
        except OSError as error:
            yield place, error


def _examined(images: Iterator[tuple[int, bytes | OSError | None]]) -> Iterator[tuple[int, Verdict]]:
    """Examine images in threads (Pillow decodes without Python's lock), few at a time, in their order."""
    workers = min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)

    def batch(parts: list[tuple[int, bytes | OSError | None]]) -> list[tuple[int, Verdict]]:
        return [(place, _verdict(data)) for place, data in parts]

    with ThreadPoolExecutor(workers) as pool:
        window: deque[tuple[int, Future[list[tuple[int, Verdict]]]]] = deque()
        waiting = 0
        for parts in _batches(images):
            size = sum(len(data) for _, data in parts if isinstance(data, bytes))
            by_threads = size >= _WORTH_A_THREAD * len(parts)
            if by_threads:
                window.append((size, pool.submit(batch, parts)))
                waiting += size
            while window and (not by_threads or len(window) > 2 * workers or waiting > _BYTES_WAITING):
                first, results = window.popleft()
                yield from results.result()
                waiting -= first
            if not by_threads:
                yield from batch(parts)
        for _, results in window:
            yield from results.result()


def _batches(
    images: Iterator[tuple[int, bytes | OSError | None]],
) -> Iterator[list[tuple[int, bytes | OSError | None]]]:
    parts: list[tuple[int, bytes | OSError | None]] = []
    size = 0
    for place, data in images:
        parts.append((place, data))
        size += len(data) if isinstance(data, bytes) else 0
        if len(parts) >= _IMAGES_AT_ONCE or size >= _BYTES_AT_ONCE:
            yield parts
            parts, size = [], 0
    yield parts


def _verdict(data: bytes | OSError | None) -> Verdict:
    if isinstance(data, OSError):
        return Verdict(bytes(32), f"it cannot be read: {data.strerror or data}")
    return examine(data)


def _stamp(path: str) -> Stamp | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _version() -> bytes:
    # another version of Pillow may decode files that this one cannot
    return f"{_FORMAT} {PIL.__version__}".encode()


def _load(path: Path | None) -> dict[str, tuple[Stamp, list[Verdict]]]:
    """Return the kept verdicts; a file that cannot be read counts as empty."""
    known: dict[str, tuple[Stamp, list[Verdict]]] = {}
    if path is None or not path.is_file():
        return known
    try:
        table = pq.ParquetFile(path, pre_buffer=False).read(use_threads=False)
    except (pa.ArrowException, OSError):
        return known
    if (table.schema.metadata or {}).get(b"version") != _version():
        return known
    columns = [table[name].to_pylist() for name in ("file", "size", "time", "sha256", "problem", "otherwise")]
    for file, size, modified, *verdict in zip(*columns, strict=True):
        known.setdefault(file, ((size, modified), []))[1].append(Verdict(*verdict))
    return known


def _save(path: Path, verdicts: dict[str, tuple[Stamp, list[Verdict]]]) -> None:
    rows = [
        (file, size, modified, verdict.sha256, verdict.problem, verdict.otherwise)
        for file, ((size, modified), each) in verdicts.items()
        for verdict in each
        if is_text(file)
    ]
    schema = pa.schema(
        [
            ("file", pa.string()),
            ("size", pa.int64()),
            ("time", pa.int64()),
            ("sha256", pa.binary(32)),
            ("problem", pa.string()),
            ("otherwise", pa.bool_()),
        ],
        metadata={b"version": _version()},
    )
    columns = [pa.array([row[k] for row in rows], field.type) for k, field in enumerate(schema)]
    with replacing(path) as stream:
        pq.write_table(pa.Table.from_arrays(columns, schema=schema), stream, compression="zstd")


def is_text(path: str) -> bool:
    """Whether a path is valid Unicode; the names of files need not be."""
    return path.encode("utf-8", "replace").decode() == path


def for_people(path: str) -> str:
    """Return a printable path: unprintable characters and bytes that are no text are escaped as in Python."""
    return path if path.isprintable() else "".join(each if each.isprintable() else _escaped(each) for each in path)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()
