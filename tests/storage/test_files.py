"""Streamed hashes and locks between processes."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest

from xda.errors import ConflictError, RunError
from xda.storage.files import file_lock, fingerprint, sha256_file

HOLD_LOCK = (
    "import sys, time; from pathlib import Path; from xda.storage.files import file_lock\n"
    "with file_lock(Path(sys.argv[1]), 'x'): print('held', flush=True); time.sleep(60)"
)


def test_sha256_covers_the_whole_file(tmp_path: Path) -> None:
    content = os.urandom(3_000_001)
    path = tmp_path / "file"
    path.write_bytes(content)
    assert sha256_file(path) == hashlib.sha256(content).hexdigest()
    with path.open("rb") as stream:
        stream.seek(10)
        assert sha256_file(stream) == hashlib.sha256(content[10:]).hexdigest()


def test_sha256_needs_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as stream:
        stream.truncate(64 << 20)
    tracemalloc.start()
    sha256_file(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_fingerprint_depends_on_content_not_key_order() -> None:
    assert fingerprint({"a": 1, "b": [1.5, None]}) == fingerprint({"b": (1.5, None), "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 1.5})
    assert fingerprint(["ab", "c"]) != fingerprint(["a", "bc"])
    with pytest.raises(ValueError, match="JSON"):
        fingerprint(float("nan"))
    with pytest.raises(TypeError):
        fingerprint(b"bytes")


def test_file_lock_excludes_second_owner_and_names_first(tmp_path: Path) -> None:
    with (
        file_lock(tmp_path / "lock", "the thing"),
        pytest.raises(ConflictError, match=rf"the thing .* \(process id {os.getpid()}\)"),
        file_lock(tmp_path / "lock", "the thing"),
    ):
        pass
    with file_lock(tmp_path / "lock", "the thing"):
        pass


def test_file_lock_ends_with_its_process(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD_LOCK, lock], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ConflictError, match=str(holder.pid)), file_lock(lock, "the thing"):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with file_lock(lock, "the thing", wait=5):
        pass


def test_file_lock_wait_has_an_end(tmp_path: Path) -> None:
    with file_lock(tmp_path / "lock", "the thing"):
        start = time.monotonic()
        with pytest.raises(ConflictError), file_lock(tmp_path / "lock", "the thing", wait=0.2):
            pass
        assert 0.2 <= time.monotonic() - start < 5


def test_file_lock_that_cannot_be_created_is_run_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be locked"), file_lock(tmp_path / "missing" / "lock", "the thing"):
        pass
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="cannot be locked"), file_lock(tmp_path / "link", "the thing"):
        pass
    assert not (tmp_path / "elsewhere").exists()
