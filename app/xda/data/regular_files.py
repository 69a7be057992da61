"""Reads files from outside if they are plain files of limited size."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

MOST_BYTES = 2**29
"""An image file may have so many bytes: 48 bits for each of the most pixels that are decoded."""


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a plain file, or a link to one, for reading.

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
    """Return the content of a plain file of limited size.

    Parameters
    ----------
    path : str or path-like
    most : int
        Most bytes allowed.

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
