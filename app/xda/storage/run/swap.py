"""Replaces a folder by a finished new one; a crash at any moment leaves a whole folder.

If the system can exchange two names in one step (Linux ``renameat2``), readers always find a folder. Otherwise the old
folder is first renamed to a reserved name; :func:`recover` puts it back if the process died in between.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import shutil
from pathlib import Path

from xda.atomic import sync_folder
from xda.errors import ConflictError, RunError
from xda.storage.files import file_lock

_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
_RECOVERY_SECONDS = 5.0
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM}

_log = logging.getLogger(__name__)


def building_path(target: Path) -> Path:
    """Return the folder in which a new version of ``target`` is built."""
    return target.with_name(f".{target.name}.building")


def aside_path(target: Path) -> Path:
    """Return the reserved name of the old ``target`` during a swap."""
    return target.with_name(f".{target.name}.old")


def lock_path(target: Path) -> Path:
    """Return the lock file that guards changes of ``target``."""
    return target.with_name(f".{target.name}.lock")


def exchange(first: Path, second: Path) -> bool:
    """Exchange two names in one step.

    Returns
    -------
    bool
        False if this system or file system cannot exchange names; nothing has changed then.

    Raises
    ------
    OSError
        The exchange failed although the system has it.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(first), None, str(second))


def remove_folder(path: Path) -> None:
    """Remove an obsolete folder; log a failure and continue."""
    try:
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.exists():
            shutil.rmtree(path)
    except OSError as error:
        _log.warning("%s is not needed any more and cannot be removed: %s", path, error)


def publish(target: Path) -> None:
    """Replace ``target`` by its finished building folder and remove the old one; the caller holds the lock.

    Parameters
    ----------
    target : Path
        Final name; ``building_path(target)`` is complete and on the disk.

    Raises
    ------
    OSError
        The folder cannot be moved; the old one is in place.
    """
    building, aside, parent = building_path(target), aside_path(target), target.parent
    if not target.exists():
        building.rename(target)
        sync_folder(parent)
        return
    if exchange(building, target):
        sync_folder(parent)
        remove_folder(building)
        return
    remove_folder(aside)
    target.rename(aside)
    try:
        building.rename(target)
    except OSError:
        aside.rename(target)
        raise
    sync_folder(parent)
    remove_folder(aside)


def put_back(target: Path) -> None:
    """Undo half a swap: put the old folder back if the new one is missing; the caller holds the lock."""
    aside = aside_path(target)
    if not aside.is_dir():
        return
    if target.exists():
        remove_folder(aside)
        return
    aside.rename(target)
    sync_folder(target.parent)


def recover(target: Path) -> None:
    """Put the old folder back after an interrupted swap; wait for a running one.

    Parameters
    ----------
    target : Path
        Folder that a reader did not find.

    Raises
    ------
    RunError
        The old folder is there but cannot be moved back.
    """
    aside = aside_path(target)
    if not aside.is_dir():
        return
    try:
        with file_lock(lock_path(target), f"the run {target}", wait=_RECOVERY_SECONDS):
            if not target.exists():
                put_back(target)
    except (OSError, ConflictError, RunError) as error:
        raise RunError(
            f"{target} is missing because replacing it was interrupted, and it cannot be put back ({error}). "
            f"Rename {aside} to {target}."
        ) from error
