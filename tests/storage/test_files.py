"""Whole writes, streamed hashes and locks between processes."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import stat
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest

from xda.errors import ConflictError, RunError
from xda.storage.files import atomic_write, file_lock, fingerprint, sha256_file

HOLD_LOCK = (
    "import sys, time; from pathlib import Path; from xda.storage.files import file_lock\n"
    "with file_lock(Path(sys.argv[1]), 'x'): print('held', flush=True); time.sleep(60)"
)


def test_sha256_is_that_of_the_whole_file(tmp_path: Path) -> None:
    content = os.urandom(3_000_001)
    path = tmp_path / "file"
    path.write_bytes(content)
    assert sha256_file(path) == hashlib.sha256(content).hexdigest()
    with path.open("rb") as stream:
        stream.seek(10)
        assert sha256_file(stream) == hashlib.sha256(content[10:]).hexdigest()


def test_hashing_needs_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as stream:
        stream.truncate(64 << 20)
    tracemalloc.start()
    sha256_file(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_fingerprints_depend_on_content_and_not_on_key_order() -> None:
    assert fingerprint({"a": 1, "b": [1.5, None]}) == fingerprint({"b": (1.5, None), "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 1.5})
    assert fingerprint(["ab", "c"]) != fingerprint(["a", "bc"])
    with pytest.raises(ValueError, match="JSON"):
        fingerprint(float("nan"))
    with pytest.raises(TypeError):
        fingerprint(b"bytes")


@pytest.mark.parametrize("durable", [True, False])
def test_atomic_write_replaces_a_file(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "file"
    atomic_write(path, b"old", durable=durable)
    atomic_write(path, b"new", durable=durable)
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_content_reaches_the_disk_before_its_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    replace = Path.replace

    def sync(descriptor: int) -> None:
        steps.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")

    def rename(path: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", rename)
    atomic_write(tmp_path / "file", b"x")
    assert steps == ["sync file", "rename", "sync folder"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    atomic_write(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_lock_excludes_another_holder_and_names_it(tmp_path: Path) -> None:
    with (
        file_lock(tmp_path / "lock", "the thing"),
        pytest.raises(ConflictError, match=rf"the thing .* \(process id {os.getpid()}\)"),
        file_lock(tmp_path / "lock", "the thing"),
    ):
        pass
    with file_lock(tmp_path / "lock", "the thing"):
        pass


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
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


def test_waiting_for_a_lock_has_an_end(tmp_path: Path) -> None:
    with file_lock(tmp_path / "lock", "the thing"):
        start = time.monotonic()
        with pytest.raises(ConflictError), file_lock(tmp_path / "lock", "the thing", wait=0.2):
            pass
        assert 0.2 <= time.monotonic() - start < 5


def test_a_lock_that_cannot_be_created_is_an_error_for_people(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be locked"), file_lock(tmp_path / "missing" / "lock", "the thing"):
        pass
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="cannot be locked"), file_lock(tmp_path / "link", "the thing"):
        pass
    assert not (tmp_path / "elsewhere").exists()
