"""A full disk: one line names the needed space; the old run stays, and the build continues later."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.storage.run.small_disk import leave_free, small_disk
from tests.storage.run.tiny_run import ALL_STAGES, build, description, outputs, write_stages
from xda.errors import RunError
from xda.storage.files import fingerprint
from xda.storage.run.folder import RunFolder
from xda.storage.run.space import readable_size, shortage
from xda.storage.run.writer import RunWriter

MEGABYTE = 1_000_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 8 * MEGABYTE) as folder:
        yield folder


def test_build_on_disk_full_at_any_page_keeps_old_run(disk: Path) -> None:
    """A page more at each step: the build fails at one place after the other, until it succeeds."""
    out = disk / "tiny"
    old = build(out, 0)[0].digest
    failed_in: set[str] = set()
    for pages in range(100):
        leave_free(disk, pages * 4096)
        try:
            with RunWriter(out, "tiny") as writer:
                write_stages(writer, 1)
                run = writer.commit(description(1))
            break
        except RunError as error:
            message = str(error)
        assert "\n" not in message
        assert "No space left on device; " in message
        assert " are free on its disk. Free space" in message
        failed_in.add(message.split("; ")[1].split(" needs ")[0])
        found = RunFolder.open(out, verify=True)
        assert found.digest == old
        assert found.image("test", 1)
    else:
        pytest.fail("the build never had enough")
    assert run.manifest.title == "Tiny 1"
    RunFolder.open(out).verify_files()
    assert len(failed_in) >= 6, failed_in


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda w: w.write_bytes("a", bytes(4 * MEGABYTE)), r"; a needs 4 MB, 2(\.\d+)? MB are free"),
        (lambda w: w.write_array("a.npy", np.zeros(MEGABYTE, np.float32)), r"; a\.npy needs 4 MB, 2(\.\d+)? MB are"),
        (
            lambda w: w.write_table("a.parquet", pa.table({"a": np.random.default_rng(0).random(500_000)})),
            r"; a\.parquet needs 4 MB, 2(\.\d+)? MB are",
        ),
        (lambda w: w.write_images("test", [os.urandom(1000)] * 4000, 4000), r"; images\.bin needs 4 MB, 2(\.\d+)? MB"),
    ],
    ids=["bytes", "array", "table", "images"],
)
def test_full_disk_error_names_needed_space(disk: Path, write: Callable[[RunWriter], None], message: str) -> None:
    with RunWriter(disk / "run", "tiny") as writer:
        leave_free(disk, 2 * MEGABYTE)
        with pytest.raises(RunError, match=message), writer.stage("s", "x"):
            write(writer)
        # half-written files are gone, so the next attempt has the space
        leave_free(disk, 5 * MEGABYTE)
        with writer.stage("s", "x"):
            write(writer)
        assert writer.finished("s", "x")


def test_growing_stage_reserves_space_before_computation(disk: Path) -> None:
    forms = {"a.npy": ((1000,), np.float64), "b.npy": ((MEGABYTE,), np.float32)}
    with RunWriter(disk / "run", "tiny") as writer:
        leave_free(disk, 2 * MEGABYTE)
        with (
            pytest.raises(RunError, match=r"; b\.npy needs 4 MB, [12](\.\d+)? MB are free"),
            writer.growing_stage("s", "x", forms),
        ):
            pytest.fail("the computation began")
        leave_free(disk, 5 * MEGABYTE)
        with writer.growing_stage("s", "x", forms | {"b.npy": ((1000,), np.float32)}) as growing:
            growing.append({"a.npy": np.zeros(1000), "b.npy": np.zeros(1000, np.float32)})


def test_require_space_refuses_before_computation(disk: Path) -> None:
    with RunWriter(disk / "run", "tiny") as writer:
        leave_free(disk, 2 * MEGABYTE)
        writer.require_space("the surrogates", MEGABYTE)
        with pytest.raises(
            RunError, match=r"the surrogates need at least 3 MB, 2(\.\d+)? MB are free on its disk\. Free"
        ):
            writer.require_space("the surrogates", 3 * MEGABYTE)


def test_full_disk_on_every_system_is_run_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same without a small disk: every way of writing is made to fail once."""

    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / "tiny"
    with RunWriter(out, "tiny") as writer:
        ways: list[tuple[object, str]] = [(os, "fsync"), (os, "pwrite"), (pq, "write_table"), (Path, "write_bytes")]
        for owner, name in ways:
            writer.discard()
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, full)
                with pytest.raises(RunError, match="No space left on device; "):
                    write_stages(writer)
        assert not writer.finished("features: train", fingerprint(["train", 0]))
        write_stages(writer)
        with monkeypatch.context() as patch:
            patch.setattr("xda.storage.run.writer.replacing", full)
            with pytest.raises(RunError, match="No space left"):
                writer.commit(description())
    assert build(out)[1] == []


def test_growing_stage_keeps_rows_after_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "tiny"
    left = 2
    write = os.pwrite

    def soon_full(*arguments: object) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(*arguments)  # type: ignore[arg-type]

    with RunWriter(out, "tiny") as writer, monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", soon_full)
        with pytest.raises(RunError, match="No space left"):
            write_stages(writer)
    run, computed = build(out)
    assert computed == ["features: train from 2", "features: test"]
    for name, rows in outputs(0, "train").items():
        np.testing.assert_array_equal(run.array(name), rows)
    assert len(ALL_STAGES) == 5


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (999_999, "1 MB"),
        (1_024_000_128, "1.02 GB"),
        (10**19, "1e+04 PB"),
    ],
)
def test_readable_size_uses_powers_of_1000(size: int, text: str) -> None:
    assert readable_size(size) == text


def test_shortage_is_empty_for_other_errors(tmp_path: Path) -> None:
    assert shortage(PermissionError(errno.EACCES, "no"), tmp_path / "a", 5) == ""
    assert shortage(ValueError("no"), tmp_path / "a", 5) == ""
    assert " needs 5 bytes, " in shortage(OSError(errno.EDQUOT, "no"), tmp_path / "not" / "there", 5)
