"""Replacing one folder by another."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import pytest

from xda.errors import RunError
from xda.storage.files import file_lock
from xda.storage.run import swap


def folder(path: Path, content: str) -> Path:
    """Create a folder with one file."""
    path.mkdir(parents=True)
    (path / "file").write_text(content)
    return path


def content(path: Path) -> str:
    """Return the content of the folder's file."""
    return (path / "file").read_text()


@pytest.fixture(params=[True, False], ids=["exchange", "no exchange"])
def target(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder to be replaced, on a system that can exchange names and on one that cannot."""
    if not request.param:
        monkeypatch.setattr(swap, "exchange", lambda first, second: False)
    return tmp_path / "runs" / "mnist"


def test_exchange_swaps_two_folders(tmp_path: Path) -> None:
    first, second = folder(tmp_path / "a", "a"), folder(tmp_path / "b", "b")
    if not swap.exchange(first, second):
        pytest.skip("this file system cannot exchange two names")
    assert (content(first), content(second)) == ("b", "a")
    with pytest.raises(FileNotFoundError):
        swap.exchange(first, tmp_path / "missing")


def test_publish_first_version_moves_into_place(target: Path) -> None:
    folder(swap.building_path(target), "new")
    swap.publish(target)
    assert content(target) == "new"
    assert os.listdir(target.parent) == ["mnist"]


def test_publish_later_version_replaces_first(target: Path) -> None:
    folder(target, "old")
    folder(swap.building_path(target), "new")
    folder(swap.aside_path(target), "rest of an earlier crash")
    swap.publish(target)
    assert content(target) == "new"
    swap.put_back(target)
    assert os.listdir(target.parent) == ["mnist"]


def test_publish_failure_keeps_old_version(target: Path) -> None:
    folder(target, "old")
    with pytest.raises(OSError, match=r"."):
        swap.publish(target)
    assert content(target) == "old"


def test_recover_after_half_a_swap_restores_old_version(target: Path) -> None:
    folder(swap.aside_path(target), "old")
    swap.recover(target)
    assert content(target) == "old"
    swap.recover(target)
    swap.put_back(target)
    assert content(target) == "old"


def test_recover_waits_for_running_swap(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(swap.aside_path(target), "old")
    monkeypatch.setattr(swap, "_RECOVERY_SECONDS", 0.1)
    with (
        file_lock(swap.lock_path(target), "the run"),
        pytest.raises(RunError, match=r"Rename .*\.mnist\.old to .*mnist"),
    ):
        swap.recover(target)
    assert content(swap.aside_path(target)) == "old"


def test_remove_folder_never_follows_link(tmp_path: Path) -> None:
    folder(tmp_path / "precious", "kept")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    swap.remove_folder(tmp_path / "link")
    assert not (tmp_path / "link").is_symlink()
    folder(tmp_path / "waste", "x")
    (tmp_path / "waste" / "link").symlink_to(tmp_path / "precious")
    swap.remove_folder(tmp_path / "waste")
    swap.remove_folder(tmp_path / "not there")
    assert not (tmp_path / "waste").exists()
    assert content(tmp_path / "precious") == "kept"


def test_remove_folder_failure_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder(tmp_path / "waste", "x")

    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError("no")

    monkeypatch.setattr(os, "unlink", refuse)
    with caplog.at_level(logging.WARNING):
        swap.remove_folder(tmp_path / "waste")
    assert "cannot be removed" in caplog.text
    monkeypatch.undo()
    shutil.rmtree(tmp_path / "waste")
