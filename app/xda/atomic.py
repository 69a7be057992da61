"""Safe writes: a file appears whole or not at all, even after a kill or a power cut."""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_FRESH_SECONDS = 60.0


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces ``path`` when the block ends without an exception.

    A kill or a power cut at any moment leaves either the old file or the new one, whole: the content is on the disk
    before the rename, and the name before the block is left. An exception leaves nothing behind; a later call removes
    what a kill leaves behind.

    Parameters
    ----------
    path : Path
        The file to create or replace; its folder is made.
    durable : bool
        Wait for the disk. Otherwise a power cut (not a kill) may lose the file or part of it.

    Raises
    ------
    OSError
        The file cannot be written; ``path`` is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("xb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make created, renamed and removed entries of a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(path: Path) -> None:
    """Remove the temporary files of processes that were killed while writing ``path``."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int(leftover.name.split(".")[-3])
            # A process on another machine with the same disk is not visible here, but it keeps its file fresh.
            if time.time() - leftover.stat().st_mtime > _FRESH_SECONDS and not _is_alive(pid):
                leftover.unlink()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
