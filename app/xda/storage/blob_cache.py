"""A disk cache of small results, shared by processes; it evicts the least recently used entries first.

Each entry is a file named by the hash of its key and begins with the SHA-256 of its content, so that an entry torn by
a power cut is a miss and never a wrong answer. A full or read-only disk raises no error here; the cache is then only
slow.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from xda.atomic import replacing

_HASH_BYTES = 32
_STALE_SECONDS = 3600.0

_log = logging.getLogger(__name__)


class BlobCache:
    """Bytes by key, at most about ``max_bytes`` of them; safe for several threads and processes.

    Parameters
    ----------
    folder : Path
        Created on the first write.
    max_bytes : int
        Size of all entries together; each process may exceed it by an eighth before it evicts. 0 switches the
        cache off.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._slack = max_bytes // 8
        # Larger than any slack, so that the first write counts the entries of earlier processes.
        self._unseen = max_bytes + 1
        self._lock = threading.Lock()
        self._complained = False

    def get(self, key: str) -> bytes | None:
        """Return the bytes stored under a key, or None."""
        path = self._path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(content[_HASH_BYTES:]).digest() != content[:_HASH_BYTES]:
            with suppress(OSError):
                path.unlink()
            return None
        # The time of last use; atime is switched off on many machines.
        with suppress(OSError):
            os.utime(path)
        return content[_HASH_BYTES:]

    def put(self, key: str, content: bytes) -> None:
        """Store bytes under a key; does nothing, with a line in the log, if they cannot be written."""
        size = len(content) + _HASH_BYTES
        if size > self._max_bytes:
            return
        path = self._path(key)
        try:
            with replacing(path, durable=False) as file:
                file.write(hashlib.sha256(content).digest() + content)
        except OSError as error:
            self._complain(error)
            return
        with self._lock:
            self._unseen += size
            if self._unseen > self._slack:
                self._unseen = 0
                self._evict()

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()
        return self._folder / name[:2] / name[2:]

    def _evict(self) -> None:
        """Remove the entries unused for longest until all fit, and temporary files that a killed process left."""
        entries: list[tuple[int, int, str]] = []
        total = 0
        stale = time.time() - _STALE_SECONDS
        for folder in self._folder.glob("[0-9a-f][0-9a-f]"):
            with suppress(OSError):
                for entry in os.scandir(folder):
                    # Another process may have removed it meanwhile; then it needs no room.
                    with suppress(OSError):
                        info = entry.stat(follow_symlinks=False)
                        if not entry.name.startswith("."):
                            entries.append((info.st_mtime_ns, info.st_size, entry.path))
                            total += info.st_size
                        elif info.st_mtime < stale:
                            Path(entry.path).unlink()
        if total <= self._max_bytes:
            return
        for _, size, name in sorted(entries):
            with suppress(OSError):
                Path(name).unlink()
            total -= size
            if total <= self._max_bytes - self._slack:
                return

    def _complain(self, error: OSError) -> None:
        """Log the first failure only as a warning, since a full disk would otherwise fill the log too."""
        level = logging.DEBUG if self._complained else logging.WARNING
        self._complained = True
        _log.log(
            level, "the cache in %s cannot be written, results are computed again each time: %s", self._folder, error
        )
