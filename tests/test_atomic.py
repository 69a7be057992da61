"""Tests of xda.atomic."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from xda.atomic import replacing


def test_replacing_creates_file_and_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.bin"
    with replacing(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in path.parent.iterdir()] == ["b.bin"]


def test_replacing_after_exception_keeps_old_file_only(tmp_path: Path) -> None:
    path = tmp_path / "b.bin"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["b.bin"]


def test_replacing_sets_default_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    with replacing(tmp_path / "ours"):
        pass
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_replacing_removes_files_of_killed_processes(tmp_path: Path) -> None:
    path = tmp_path / "b[1].bin"
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    names = [f".b[1].bin.{dead.pid}.x.part", f".b[1].bin.{os.getpid()}.x.part", f".b[1].bin.{dead.pid}.y.part"]
    other = [".c.bin.1.x.part", ".b[1].bin.part", ".b[1].bin.me.x.part"]
    for name in names + other:
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (0, 0))
    # one that is still being written
    os.utime(tmp_path / names[2])
    with replacing(path) as file:
        file.write(b"new")
    assert {entry.name for entry in tmp_path.iterdir()} == {path.name, names[1], names[2], *other}


def write(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file at once."""
    with replacing(path, durable=durable) as file:
        file.write(content)


@pytest.mark.parametrize("durable", [True, False])
def test_write_replaces_a_file(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "file"
    write(path, b"old", durable=durable)
    write(path, b"new", durable=durable)
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_write_syncs_content_then_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    replace = Path.replace

    def sync(descriptor: int) -> None:
        steps.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")

    def rename(path: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", rename)
    write(tmp_path / "file", b"x")
    assert steps == ["sync file", "rename", "sync folder"]


def test_write_failure_keeps_old_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]
