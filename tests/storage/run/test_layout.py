"""Adding an array to a run: one declaration, its writer and its reader (docs/how-to/add-a-run-array.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.storage.run.tiny_run import COUNTS, SPLITS, description, write_stages
from xda.errors import RunError
from xda.storage.run import layout
from xda.storage.run.folder import RunFolder
from xda.storage.run.layout import ArraySpec
from xda.storage.run.writer import RunWriter

DOUBT = ArraySpec("doubt", ("<f4",), ("{split} images",), optional=True)


@pytest.fixture(autouse=True)
def _declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "SPLIT_ARRAYS", (*layout.SPLIT_ARRAYS, DOUBT))


def build_with(out: Path, dtype: str, rows: int) -> RunFolder:
    """Build the tiny run with the new array for training images, filled batch by batch."""
    name = layout.split_array("train", DOUBT)
    with RunWriter(out, "tiny") as writer:
        write_stages(writer)
        with writer.growing_stage("doubt", "", {name: ((rows,), dtype)}) as growing:
            growing.append({name: np.arange(rows).astype(dtype)})
        return writer.commit(description())


def test_declared_array_written_is_read_back(tmp_path: Path) -> None:
    build_with(tmp_path / "run", DOUBT.dtype.str, COUNTS.train)
    run = RunFolder.open(tmp_path / "run")
    np.testing.assert_array_equal(run.array(layout.split_array("train", DOUBT)), np.arange(COUNTS.train))


def test_declared_array_absent_from_an_earlier_run_is_no_error(run_path: Path) -> None:
    files = RunFolder.open(run_path).manifest.files
    assert not [split for split in SPLITS if layout.split_array(split, DOUBT) in files]


@pytest.mark.parametrize(
    ("dtype", "rows", "message"),
    [
        ("<f8", COUNTS.train, "train/doubt.npy holds values of type <f8, a run needs <f4"),
        ("<f4", 3, r"train/doubt.npy has shape \[3\], but the manifest says 6 train images"),
    ],
    ids=["type", "shape"],
)
def test_declared_array_of_another_form_is_refused_at_commit_and_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, rows: int, message: str
) -> None:
    with pytest.raises(RunError, match=message):
        build_with(tmp_path / "run", dtype, rows)
    with monkeypatch.context() as undeclared:
        undeclared.setattr(layout, "SPLIT_ARRAYS", layout.SPLIT_ARRAYS[:-1])
        build_with(tmp_path / "run", dtype, rows)
    with pytest.raises(RunError, match=message):
        RunFolder.open(tmp_path / "run")
