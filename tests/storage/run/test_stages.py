"""Stages whose arrays grow batch by batch: an interrupted build keeps its own rows, and only those."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import sleep
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from xda.errors import RunError
from xda.storage.run import growing_arrays, swap
from xda.storage.run.build_state import BuildState
from xda.storage.run.growing_arrays import GrowingArrays
from xda.storage.run.writer import RunWriter

ROWS = np.arange(20, dtype=np.float32).reshape(10, 2)
FORMS = {"a.npy": ((10, 2), np.float32), "deep/b.npy": ((10,), np.int64)}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "run"


def batch(start: int, stop: int) -> dict[str, NDArray[np.generic]]:
    return {"a.npy": ROWS[start:stop], "deep/b.npy": np.arange(start, stop)}


def begin(out: Path, stop: int, expected: int = 0) -> None:
    """Fill rows up to ``stop``, from the end of the last attempt, and break off."""
    with RunWriter(out, "tiny") as writer, suppress(KeyboardInterrupt), writer.growing_stage("s", "x", FORMS) as filled:
        assert filled.done == expected
        filled.append(batch(expected, stop))
        raise KeyboardInterrupt


def finish(out: Path, inputs: str = "x") -> int:
    """Fill the other rows, check the arrays, and return how many rows were there already."""
    with RunWriter(out, "tiny") as writer:
        assert not writer.finished("s", inputs)
        with writer.growing_stage("s", inputs, FORMS) as filled:
            began = filled.done
            filled.append(batch(began, 10))
        assert writer.finished("s", inputs)
        np.testing.assert_array_equal(writer.array("a.npy"), ROWS)
        np.testing.assert_array_equal(writer.array("deep/b.npy"), np.arange(10))
    return began


def test_growing_stage_continues_after_last_whole_batch(out: Path) -> None:
    begin(out, 3)
    begin(out, 4, expected=3)
    assert finish(out) == 4
    with RunWriter(out, "tiny") as writer:
        assert writer.finished("s", "x")


def test_growing_stage_drops_rows_of_other_inputs(out: Path) -> None:
    begin(out, 3)
    assert finish(out, "y") == 0


def test_growing_stage_drops_rows_of_another_shape(out: Path) -> None:
    begin(out, 3)
    with RunWriter(out, "tiny") as writer, writer.growing_stage("s", "x", {"a.npy": ((4, 2), np.float32)}) as filled:
        assert filled.done == 0
        filled.append({"a.npy": ROWS[:4]})


@pytest.mark.parametrize("damage", ["missing", "truncated", "no array"])
def test_growing_stage_with_damaged_file_starts_anew(out: Path, damage: str) -> None:
    begin(out, 3)
    path = swap.building_path(out) / "a.npy"
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        os.truncate(path, 20)
    else:
        path.write_bytes(b"x" * path.stat().st_size)
    assert finish(out) == 0


def test_growing_stage_ends_when_another_writes_its_file(out: Path) -> None:
    begin(out, 3)
    with RunWriter(out, "tiny") as writer, writer.stage("t", "x"):
        writer.write_array("a.npy", ROWS)
    with (
        RunWriter(out, "tiny") as writer,
        writer.growing_stage("s", "x", FORMS) as filled,
    ):
        assert filled.done == 0
        filled.append(batch(0, 10))


def test_growing_stage_is_finished_only_with_all_rows(out: Path) -> None:
    with (
        RunWriter(out, "tiny") as writer,
        pytest.raises(RuntimeError, match="3 of 10 rows"),
        writer.growing_stage("s", "x", FORMS) as filled,
    ):
        filled.append(batch(0, 3))
    assert finish(out) == 3


def test_growing_stage_without_rows_is_finished(out: Path) -> None:
    with RunWriter(out, "tiny") as writer:
        with writer.growing_stage("s", "x", {"a.npy": ((0, 2), np.float32)}) as filled:
            assert (filled.done, filled.total) == (0, 0)
        assert writer.array("a.npy").shape == (0, 2)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"a.npy": ROWS[:3]}, "these arrays are"),
        (batch(0, 3) | {"a.npy": ROWS[:3].astype(np.float64)}, "type float64"),
        (batch(0, 3) | {"a.npy": ROWS[:3, :1]}, "shape"),
        (batch(0, 3) | {"a.npy": ROWS[:2]}, "shape"),
        ({"a.npy": np.zeros((11, 2), np.float32), "deep/b.npy": np.arange(11)}, "do not fit behind row 0"),
    ],
)
def test_append_wrong_batch_changes_nothing(out: Path, rows: dict[str, NDArray[np.generic]], message: str) -> None:
    with RunWriter(out, "tiny") as writer, writer.growing_stage("s", "x", FORMS) as filled:
        with pytest.raises(ValueError, match=message):
            filled.append(rows)
        assert filled.done == 0
        filled.append(batch(0, 10))


def test_append_counts_rows_only_when_on_disk(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This order survives a power cut: rows, wait for the disk, mark, wait for the disk."""
    events: list[str] = []
    write, sync, replace = os.pwrite, os.fsync, Path.replace

    def noted(event: str, call: Callable[..., Any], *arguments: Any) -> Any:
        events.append(event)
        return call(*arguments)

    with RunWriter(out, "tiny") as writer, writer.growing_stage("s", "x", FORMS) as filled:
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", lambda *arguments: noted("write", write, *arguments))
            patch.setattr(os, "fsync", lambda *arguments: noted("sync", sync, *arguments))
            patch.setattr(Path, "replace", lambda *arguments: noted("mark", replace, *arguments))
            filled.append(batch(0, 5))
        filled.append(batch(5, 10))
    assert events == ["write", "write", "sync", "sync", "sync", "mark", "sync"]


def test_marks_take_small_share_of_time(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every mark takes a second here, every batch three, by a clock that only they move."""
    monkeypatch.setattr(growing_arrays, "PATIENCE", 10.0)
    now, marks = 0.0, []
    monkeypatch.setattr(growing_arrays, "time", SimpleNamespace(monotonic=lambda: now))
    forms = {"a.npy": ((40,), np.float32)}
    with RunWriter(out, "tiny") as writer, writer.growing_stage("s", "x", forms) as filled:
        mark = filled._mark

        def slow(done: int) -> None:
            nonlocal now
            now += 1.0
            marks.append(done)
            mark(done)

        monkeypatch.setattr(filled, "_mark", slow)
        for _ in range(40):
            now += 3.0
            filled.append({"a.npy": np.zeros(1, np.float32)})
    assert marks == [*range(1, 40, 4), 40]


def test_growing_stage_interrupted_keeps_unmarked_rows(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing_arrays, "PATIENCE", 1e9)
    monkeypatch.setattr(os, "fsync", lambda descriptor: sleep(0.001))
    with RunWriter(out, "tiny") as writer, suppress(KeyboardInterrupt), writer.growing_stage("s", "x", FORMS) as filled:
        for start in range(4):
            filled.append(batch(start, start + 1))
        assert [part.done for part in BuildState.load(swap.building_path(out)).unfinished.values()] == [1]
        raise KeyboardInterrupt
    assert finish(out) == 4


def test_append_continues_short_write(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: write(descriptor, data[:7], offset))
    assert finish(out) == 0


def test_append_rows_with_failed_mark_are_rewritten(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    begin(out, 2)
    with RunWriter(out, "tiny") as writer, monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(RunError, match="No space left"), writer.growing_stage("s", "x", FORMS) as filled:
            filled.append(batch(2, 4))
    assert finish(out) == 2


def test_growing_arrays_close_their_files(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ROWS)
    before = len(os.listdir("/proc/self/fd"))
    with GrowingArrays({"a": tmp_path / "a.npy"}, 0, lambda rows: None):
        assert len(os.listdir("/proc/self/fd")) == before + 1
    assert len(os.listdir("/proc/self/fd")) == before
