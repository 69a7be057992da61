"""Files from outside: only plain ones are read, up to a size; what is written appears whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MOST_BYTES = 2**29
"""Bytes that the file of one image may have: as many as the most pixels that are decoded take in 48 bits each."""

_FRESH_SECONDS = 60.0


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading if it is a plain one; links to one are followed.

    A named pipe would wait for somebody to write, and a device such as ``/dev/zero`` never ends.

    Parameters
    ----------
    path : str or path-like

    Raises
    ------
    OSError
        If it cannot be opened, or is anything but a plain file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a plain file", str(path))
    return os.fdopen(descriptor, "rb")


def read_regular(path: str | os.PathLike[str], most: int = MOST_BYTES) -> bytes:
    """Return all of a plain file that is not too large.

    Parameters
    ----------
    path : str or path-like
    most : int
        Bytes that it may have.

    Raises
    ------
    OSError
        If it cannot be read, is anything but a plain file, or has more bytes.
    """
    with open_regular(path) as stream:
        if os.fstat(stream.fileno()).st_size <= most:
            # it may grow while it is read
            content = stream.read(most + 1)
            if len(content) <= most:
                return content
    raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that takes the place of ``path`` when the block ends without an exception.

    The content is on the disk before the rename, so that a kill or a power cut at any moment leaves either the old file
    or the new one. Nothing is left behind when the block raises; what a kill leaves behind is removed by a later call.

    Parameters
    ----------
    path : Path
        The file to create or replace; its folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.{os.getpid()}.", suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner may read
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sweep(path: Path) -> None:
    """Remove the temporary files of processes that were killed while writing ``path``."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int(leftover.name.split(".")[-3])
            # a process of another machine on the same disk is not seen here, but it keeps its file fresh
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
