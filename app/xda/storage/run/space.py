"""Messages about too little disk space: the needed and the free bytes."""

from __future__ import annotations

import errno
import shutil
from contextlib import suppress
from pathlib import Path

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def readable_size(n_bytes: int) -> str:
    """Format a size for people, in powers of 1000, such as ``"1.02 GB"``.

    Examples
    --------
    >>> readable_size(999), readable_size(1_024_000_128)
    ('999 bytes', '1.02 GB')
    """
    size, unit = float(n_bytes), 0
    while size >= 999.5 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.3g} {_UNITS[unit]}"


def shortage(error: BaseException, path: Path, needed: int) -> str:
    """Return the part of a message that names the needed and the free space.

    Parameters
    ----------
    error : BaseException
        The error of the write.
    path : Path
        The written file; its present bytes count as free.
    needed : int
        Bytes of the whole file, about.

    Returns
    -------
    str
        Empty if the error has another cause.
    """
    if getattr(error, "errno", None) not in _FULL:
        return ""
    available = 0
    with suppress(OSError):
        available += path.stat().st_blocks * 512
    for folder in path.parents:
        with suppress(OSError):
            available += shutil.disk_usage(folder).free
            break
    return f"; {path.name} needs {readable_size(needed)}, {readable_size(available)} are free on its disk"
