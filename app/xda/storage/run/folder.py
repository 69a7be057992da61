"""A finished run: immutable, self-contained, memory-mapped; refused if a part contradicts the manifest.

Opening a run maps its files and reads the small ones, through the folder's descriptor. So an open run keeps its own
files when a rebuilt run replaces it. Links inside the folder, names that lead out of it and special files are refused.
"""

from __future__ import annotations

import math
import mmap
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xda.errors import NotFoundError, RunError
from xda.storage.files import sha256_file
from xda.storage.run.arrays import read_array_header
from xda.storage.run.layout import image_files
from xda.storage.run.layout_check import check_layout, needed_columns, table_columns, table_rows
from xda.storage.run.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    FileEntry,
    Manifest,
    Split,
    digest,
    parse_manifest,
)
from xda.storage.run.parquet_tables import read_table
from xda.storage.run.swap import recover

_SMALL = 1 << 18
"""Smaller files are read rather than mapped."""
_REMEDY = "Copy the run folder again or rebuild it with `xda build`."


class RunFolder:
    """One open run; immutable, so safe for several threads. :meth:`open` returns one.

    Parameters
    ----------
    path : Path
        Path from which the run was opened.
    manifest : Manifest
    digest : str
        SHA-256 of the manifest, 64 hexadecimal digits.
    contents : dict of str to ndarray
        All files as read-only maps: arrays with their types, every other file as uint8.
    """

    def __init__(self, path: Path, manifest: Manifest, digest: str, contents: dict[str, NDArray[np.generic]]) -> None:
        self.path = path
        self.manifest = manifest
        self.digest = digest
        self._contents = contents

    @classmethod
    def open(cls, path: Path, *, verify: bool = True) -> RunFolder:
        """Open a run folder.

        Parameters
        ----------
        path : Path
            The folder; may be a link to one.
        verify : bool
            Read every file and compare its SHA-256. Otherwise only presence, sizes and array headers are checked.

        Raises
        ------
        RunError
            The folder is not a run, has another schema version, lacks a file, has a truncated or changed one, or its
            parts contradict each other. The message names both sides.
        """
        with _open_folder(path) as folder:
            content = _read_manifest(path, folder)
            manifest = parse_manifest(content, str(path))
            check_layout(manifest, str(path))
            contents = {}
            for name, entry in manifest.files.items():
                with closing(_open_entry(path, folder, name, entry)) as stream:
                    if verify:
                        _check_hash(path, name, entry, stream)
                    contents[name] = _map_entry(path, name, entry, stream)
        return cls(path, manifest, digest(content), contents)

    def verify_files(self) -> None:
        """Read every file of the folder again, in bounded memory, and compare its SHA-256 with the manifest.

        Raises
        ------
        RunError
            A file is missing, of another size, or changed, or another run has taken the place of this one; the message
            names both hashes.
        """
        with _open_folder(self.path) as folder:
            found = digest(_read_manifest(self.path, folder))
            if found != self.digest:
                raise RunError(f"{self.path} was replaced since it was opened: run {found} instead of {self.digest}.")
            for name, entry in self.manifest.files.items():
                with closing(_open_entry(self.path, folder, name, entry)) as stream:
                    _check_hash(self.path, name, entry, stream)

    def array(self, name: str) -> NDArray[Any]:
        """Return an array of the run, memory-mapped and read-only.

        Parameters
        ----------
        name : str
            File name relative to the run, such as ``"train/features.npy"``.

        Raises
        ------
        RunError
            The run has no such array.
        """
        if self._entry(name).dtype is None:
            raise RunError(f"{self.path}: {name} is not an array. Rebuild the run with `xda build`.")
        return self._contents[name]

    def table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return a Parquet table of the run, such as ``"train.parquet"``.

        Parameters
        ----------
        name : str
            File name relative to the run.
        columns : sequence of str, optional
            Columns to read; by default every known column of a run's table.

        Raises
        ------
        RunError
            The run has no such table, or it is damaged, or it lacks one of these columns.
        """
        content = self.content(name)
        known = table_columns(self.manifest, name)
        needed = needed_columns(name) if columns is None else columns
        chosen = known if columns is None else {column: known[column] for column in columns}
        try:
            table = read_table(pa.BufferReader(content), chosen, table_rows(self.manifest, name))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise RunError(f"{self.path}: {name} is no readable Parquet table ({error}). {_REMEDY}") from error
        missing = [column for column in needed if column not in table.column_names]
        if missing:
            raise RunError(f"{self.path}: {name} has no column '{missing[0]}'. {_REMEDY}")
        return table

    def image(self, split: Split, index: int) -> bytes:
        """Return one image in the encoding of the data set (PNG or JPEG).

        Raises
        ------
        NotFoundError
            There is no image of this index.
        RunError
            The run's images are damaged.
        """
        content, offsets = image_files(split)
        count = self._count(split)
        if not 0 <= index < count:
            raise NotFoundError(f"There is no {split} image {index}: the run has {count} of them, counted from 0.")
        start, end = (int(offset) for offset in self._contents[offsets][index : index + 2])
        images = self._contents[content]
        if not 0 <= start < end <= images.size:
            raise RunError(
                f"{self.path}: {offsets} puts {split} image {index} at bytes {start} to {end} of {images.size}. "
                f"{_REMEDY}"
            )
        return images[start:end].tobytes()

    def read(self, name: str) -> bytes:
        """Read a whole file of the run that is not an array, such as ``"network.safetensors"``.

        Raises
        ------
        RunError
            The run has no such file.
        """
        return self.content(name).tobytes()

    def content(self, name: str) -> NDArray[np.uint8]:
        """Return the bytes of a file that is not an array, memory-mapped and read-only; errors as for ``read``."""
        if self._entry(name).dtype is not None:
            raise RunError(f"{self.path}: {name} is an array. Rebuild the run with `xda build`.")
        return np.asarray(self._contents[name], dtype=np.uint8)

    def _count(self, split: Split) -> int:
        return self.manifest.counts.train if split == "train" else self.manifest.counts.test

    def _entry(self, name: str) -> FileEntry:
        entry = self.manifest.files.get(name)
        if entry is None:
            raise RunError(f"{self.path}: this run has no file {name!r}. Rebuild it with `xda build`.")
        return entry


def _map_entry(path: Path, name: str, entry: FileEntry, stream: BinaryIO) -> NDArray[np.generic]:
    stream.seek(0)
    if entry.dtype is None:
        return _map_file(stream, 0, np.dtype(np.uint8), (entry.bytes,))
    try:
        dtype, shape, offset = read_array_header(stream)
    except ValueError as error:
        raise RunError(f"{path}: {name} is no readable array ({error}). {_REMEDY}") from error
    if (dtype.str, shape) != (entry.dtype, entry.shape):
        raise RunError(
            f"{path}: {name} is an array of type {dtype.str} and shape {list(shape)}, but the manifest says "
            f"{entry.dtype} and {list(entry.shape or ())}. {_REMEDY}"
        )
    return _map_file(stream, offset, dtype, shape)


def _check_hash(path: Path, name: str, entry: FileEntry, stream: BinaryIO) -> None:
    try:
        found = sha256_file(stream)
    except OSError as error:
        raise RunError(f"{path}: {name} cannot be read ({error.strerror}). {_REMEDY}") from error
    if found != entry.sha256:
        raise RunError(
            f"{path}: {name} is damaged: it has SHA-256 {found}, but the manifest says {entry.sha256}. {_REMEDY}"
        )


def _open_entry(path: Path, folder: int, name: str, entry: FileEntry) -> BinaryIO:
    stream = _open_inside(path, folder, name)
    size = os.fstat(stream.fileno()).st_size
    if size != entry.bytes:
        stream.close()
        raise RunError(f"{path}: {name} has {size} bytes, but the manifest says {entry.bytes}. {_REMEDY}")
    return stream


def _map_file(
    stream: BinaryIO, offset: int, dtype: np.dtype[np.generic], shape: tuple[int, ...]
) -> NDArray[np.generic]:
    """Map a file read-only; read a small one instead, since every map holds a file descriptor."""
    count = math.prod(shape)
    if count * dtype.itemsize < _SMALL:
        stream.seek(offset)
        return np.frombuffer(stream.read(count * dtype.itemsize), dtype, count).reshape(shape)
    view = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(view, dtype, count, offset).reshape(shape)


@contextmanager
def _open_folder(path: Path) -> Iterator[int]:
    """Open a folder during the block; all its files are opened from its descriptor."""
    try:
        if not path.exists():
            recover(path)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise RunError(f"There is no run folder at {path}. Build one with `xda build` or `xda demo`.") from error
    except NotADirectoryError as error:
        raise RunError(f"{path} is a file, not a run folder. Name the folder written by `xda build`.") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be opened ({error}). Check the path and its permissions.") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open_inside(path: Path, folder: int, name: str) -> BinaryIO:
    """Open a plain file below an open folder, following no link on the way."""
    *folders, last = name.split("/")
    held: list[int] = []
    # O_NONBLOCK, so that a named pipe cannot hang the open.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        for part in folders:
            folder = os.open(part, flags | os.O_DIRECTORY, dir_fd=folder)
            held.append(folder)
        descriptor = os.open(last, flags, dir_fd=folder)
    except OSError as error:
        reason = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise RunError(f"{path}: {name} {reason}. {_REMEDY}") from error
    finally:
        for inner in held:
            os.close(inner)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RunError(f"{path}: {name} is not a plain file. {_REMEDY}")
    return os.fdopen(descriptor, "rb")


def _read_manifest(path: Path, folder: int) -> bytes:
    try:
        os.stat(MANIFEST_NAME, dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        raise RunError(
            f"{path} is not a run folder: it has no {MANIFEST_NAME}. Name one written by `xda build`."
        ) from error
    with _open_inside(path, folder, MANIFEST_NAME) as stream:
        content = stream.read(MAX_MANIFEST_BYTES + 1)
    if len(content) > MAX_MANIFEST_BYTES:
        raise RunError(
            f"{path}: {MANIFEST_NAME} is larger than {MAX_MANIFEST_BYTES} bytes, so it is not that of a run. {_REMEDY}"
        )
    return content
