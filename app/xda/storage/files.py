"""Hashes of files and of JSON-like values, and locks between processes."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from xda.errors import ConflictError, RunError


def sha256_file(source: Path | BinaryIO) -> str:
    """Return the SHA-256 of a file, read as a stream in bounded memory.

    Parameters
    ----------
    source : Path or binary file
        A path, or an open file that is read from its current position to its end.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    if isinstance(source, Path):
        with source.open("rb") as stream:
            return sha256_file(stream)
    state = hashlib.sha256()
    while chunk := source.read(1 << 20):
        state.update(chunk)
    return state.hexdigest()


def fingerprint(content: object) -> str:
    """Return the SHA-256 of a JSON-like value, independent of the order of its keys.

    Parameters
    ----------
    content : object
        Nested dicts with string keys, lists, tuples, strings, finite numbers, booleans, None.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    ValueError
        A number is NaN or infinite.
    TypeError
        A value has no JSON form.
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def file_lock(path: Path, purpose: str, *, wait: float = 0.0) -> Iterator[None]:
    """Hold an exclusive lock between processes; it ends with the block or with the process.

    The lock file stays: if it were removed, two processes could lock two different files of the same name.

    Parameters
    ----------
    path : Path
        Lock file, created if missing; holds the process id of the last owner.
    purpose : str
        The protected thing for the message, for example ``"the run runs/mnist"``.
    wait : float
        Seconds to wait for another owner before giving up.

    Raises
    ------
    ConflictError
        Another process holds the lock.
    RunError
        The lock file cannot be created, or the file system has no locks.
    """
    deadline = time.monotonic() + wait
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise RunError(
            f"{purpose} cannot be locked: {path}: {error.strerror}. Check the folder's permissions."
        ) from error
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    owner = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
                    raise ConflictError(
                        f"{purpose} is being written by another process (process id {owner}). "
                        "Wait until it has finished, or stop it, and start again."
                    ) from None
                time.sleep(0.05)
            except OSError as error:
                raise RunError(
                    f"{purpose} cannot be locked: {path}: {error.strerror}. Use a file system that supports flock."
                ) from error
        # The process id only improves the message, so a full disk must not prevent the lock.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)
