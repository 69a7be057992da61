"""Tests of xda.atomic."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from xda.atomic import open_regular, read_regular, replacing


def test_the_file_appears_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.bin"
    with replacing(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in path.parent.iterdir()] == ["b.bin"]


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
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


def test_the_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    with replacing(tmp_path / "ours"):
        pass
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_a_kill_left_behind_is_swept_away(tmp_path: Path) -> None:
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


def test_read_regular_refuses_pipes_devices_folders_and_large_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "large").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("large")
    for name in ("pipe", "zero", "."):
        for use in (read_regular, open_regular):
            with pytest.raises(OSError, match="not a plain file"):
                use(tmp_path / name)
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_regular(tmp_path / "large", 4)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "absent")
    assert read_regular(tmp_path / "link", 5) == b"12345"
