"""Building a run: stages, resuming, locking, refusing to replace other folders."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from tests.storage.run.tiny_run import (
    ALL_STAGES,
    FEATURES,
    STAGES,
    SURROGATE,
    build,
    description,
    images,
    weights,
    write_stages,
)
from xda.errors import ConfigError, ConflictError, DataError, RunError
from xda.storage.files import fingerprint
from xda.storage.run import swap
from xda.storage.run.build_state import STATE_NAME
from xda.storage.run.folder import RunFolder
from xda.storage.run.writer import RunWriter


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return the path of a run to build."""
    return tmp_path / "new" / "runs" / "tiny"


def test_build_is_visible_only_when_whole(out: Path) -> None:
    with RunWriter(out, "tiny") as writer:
        write_stages(writer)
        assert not out.exists()
        with pytest.raises(RunError, match="There is no run folder"):
            RunFolder.open(out)
        run = writer.commit(description())
    assert run.path == out
    RunFolder.open(out).verify_files()
    assert sorted(os.listdir(out.parent)) == [".tiny.lock", "tiny"]


def test_build_interrupted_continues_where_it_stopped(out: Path) -> None:
    with RunWriter(out, "tiny") as writer:
        for stage in ("network", "data"):
            with writer.stage(stage, fingerprint([stage, 0])):
                STAGES[stage](writer, 0)

    def interrupt() -> NoReturn:
        with RunWriter(out, "tiny") as writer, writer.stage("surrogate", fingerprint(["surrogate", 0])):
            writer.write_array(f"{SURROGATE}/coef.npy", np.zeros((3, 5)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    _, computed = build(out)
    assert computed == ["surrogate", *FEATURES]


def test_stage_with_changed_input_is_redone(out: Path) -> None:
    with RunWriter(out, "tiny") as writer:
        write_stages(writer)
    with RunWriter(out, "tiny") as writer:
        assert not writer.finished("network", fingerprint("other weights"))
        assert not writer.has("network.safetensors")
        with writer.stage("network", fingerprint("other weights")):
            writer.write_bytes("network.safetensors", weights(1))
        assert writer.has("network.safetensors")
        assert writer.finished("data", fingerprint(["data", 0]))
        assert writer.finished("surrogate", fingerprint(["surrogate", 0]))
        for split in ("train", "test"):
            assert writer.finished(f"features: {split}", fingerprint([split, 0]))
        with pytest.raises(RunError, match="features were computed with the weights"):
            writer.commit(description(0))
    with RunWriter(out, "tiny") as writer:
        assert writer.finished("network", fingerprint("other weights"))


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_stage_with_missing_file_is_redone(out: Path, damage: str) -> None:
    with RunWriter(out, "tiny") as writer:
        write_stages(writer)
    path = swap.building_path(out) / SURROGATE / "coef.npy"
    if damage == "missing":
        path.unlink()
    else:
        os.truncate(path, 10)
    assert build(out)[1] == ["surrogate"]


def test_commit_file_changed_after_its_stage_is_refused(out: Path) -> None:
    with RunWriter(out, "tiny") as writer:
        write_stages(writer)
        path = swap.building_path(out) / "test" / "images.bin"
        path.write_bytes(path.read_bytes()[::-1])
        with pytest.raises(RunError, match="changed after it was written"):
            writer.commit(description())
    assert not out.exists()
    assert build(out)[1] == ["data"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"stages": 5}', b'{"stages": {"a": {"inputs": NaN}}}', b"\xff"]
)
def test_build_with_unreadable_state_starts_anew(out: Path, content: bytes) -> None:
    with RunWriter(out, "tiny") as writer:
        write_stages(writer)
    (swap.building_path(out) / STATE_NAME).write_bytes(content)
    assert build(out)[1] == ALL_STAGES


def test_build_state_naming_files_outside_starts_anew(out: Path) -> None:
    with RunWriter(out, "tiny") as writer:
        write_stages(writer)
    state = swap.building_path(out) / STATE_NAME
    state.write_text(state.read_text().replace("network.safetensors", "../../../../etc/hostname"))
    assert build(out)[1] == ALL_STAGES


def test_discard_forgets_build_and_keeps_run(run_path: Path) -> None:
    with RunWriter(run_path, "tiny") as writer:
        write_stages(writer, 1)
        writer.discard()
        assert not writer.has("network.safetensors")
        assert write_stages(writer, 1) == ALL_STAGES
        writer.discard()
    assert RunFolder.open(run_path).manifest.title == "Tiny 0"


def test_commit_leaves_out_files_of_no_stage(out: Path) -> None:
    with RunWriter(out, "tiny") as writer:
        with writer.stage("no longer asked for", "x"):
            writer.write_array("surrogates/c-1/coef.npy", np.zeros(3))
        (swap.building_path(out) / "train" / "deep").mkdir(parents=True)
        (swap.building_path(out) / "train" / "deep" / "rest").write_text("of a killed stage")
    run, _ = build(out)
    assert "surrogates/c-1/coef.npy" not in run.manifest.files
    assert not (out / "surrogates" / "c-1").exists()
    assert not (out / "train" / "deep").exists()


def test_build_second_of_same_run_is_refused(out: Path) -> None:
    with (
        RunWriter(out, "tiny"),
        pytest.raises(ConflictError, match=rf"process id {os.getpid()}"),
        RunWriter(out.parent / ".." / "runs" / "tiny", "tiny"),
    ):
        pass
    with RunWriter(out, "tiny"):
        pass


@pytest.mark.parametrize("kind", ["file", "folder", "other manifest"])
def test_writer_never_replaces_what_is_not_a_run(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "precious"
    if kind == "file":
        out.write_text("thesis")
    else:
        out.mkdir()
        (out / ("manifest.json" if kind == "other manifest" else "thesis")).write_text("thesis")
    with pytest.raises(ConflictError, match="not a run folder"), RunWriter(out, "tiny"):
        pass
    assert "thesis" in (out if kind == "file" else next(out.iterdir())).read_text()


def test_commit_never_replaces_folder_that_appeared(out: Path) -> None:
    with RunWriter(out, "tiny") as writer:
        write_stages(writer)
        out.mkdir()
        (out / "thesis").write_text("thesis")
        with pytest.raises(ConflictError, match="not a run folder"):
            writer.commit(description())
    assert (out / "thesis").read_text() == "thesis"


def test_writer_replaces_empty_folder_and_damaged_run(out: Path) -> None:
    out.mkdir(parents=True)
    build(out)
    (out / "manifest.json").write_bytes(b"{")
    with pytest.raises(RunError, match="damaged"):
        RunFolder.open(out)
    assert build(out, 1)[0].manifest.title == "Tiny 1"


def test_commit_to_link_keeps_the_link(run_path: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(run_path)
    build(tmp_path / "current", 1)
    assert (tmp_path / "current").is_symlink()
    assert RunFolder.open(run_path).manifest.title == "Tiny 1"


def test_writer_root_is_refused() -> None:
    with pytest.raises(ConfigError), RunWriter(Path("/"), "tiny"):
        pass


def test_writer_parent_is_file_is_run_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="cannot be written"), RunWriter(tmp_path / "file" / "run", "tiny"):
        pass


def test_stage_passes_on_errors_of_the_caller(out: Path) -> None:
    with RunWriter(out, "tiny") as writer:
        with pytest.raises(FileNotFoundError), writer.stage("a", "x"):
            raise FileNotFoundError("of the caller")
        assert not writer.finished("a", "x")


@pytest.mark.parametrize("name", ["../x", "/x", ".state", "a/../../x", "", "a//b", "x\n"])
def test_writer_file_names_stay_inside(out: Path, name: str) -> None:
    with (
        RunWriter(out, "tiny") as writer,
        pytest.raises(ValueError, match="cannot be the name"),
        writer.stage("a", "x"),
    ):
        writer.write_bytes(name, b"x")


def test_writer_file_needs_a_stage_and_is_written_once(out: Path) -> None:
    with RunWriter(out, "tiny") as writer:
        with pytest.raises(RuntimeError, match="inside a stage"):
            writer.write_bytes("a", b"x")
        with writer.stage("one", "x"):
            writer.write_bytes("a", b"x")
            with pytest.raises(RuntimeError, match="already open"), writer.stage("two", "x"):
                pass
        with pytest.raises(ValueError, match="already written by the stage one"), writer.stage("two", "x"):
            writer.write_bytes("a", b"x")


def test_writer_reads_back_finished_files(out: Path) -> None:
    with RunWriter(out, "tiny") as writer:
        write_stages(writer)
        assert writer.array(f"{SURROGATE}/support.npy").tolist() == [1, 4]
        assert writer.table("train.parquet").num_rows == 6
        with writer.stage("other", "x"):
            writer.write_bytes("other", b"weights")
            with pytest.raises(ValueError, match="no finished stage"):
                writer.sha256("other")
        assert writer.sha256("other") == hashlib.sha256(b"weights").hexdigest()
        with pytest.raises(ValueError, match="no finished stage"):
            writer.array("nothing.npy")


@pytest.mark.parametrize(
    ("given", "message"),
    [([b"a"], "has 1 images instead of 2"), ([b"a", b""], "empty image at 1"), ([b"a", b"b", b"c"], "more than 2")],
)
def test_write_images_wrong_count_or_empty_is_refused(out: Path, given: list[bytes], message: str) -> None:
    with RunWriter(out, "tiny") as writer, pytest.raises(DataError, match=message), writer.stage("a", "x"):
        writer.write_images("train", given, 2)


def test_write_images_read_error_is_data_error(out: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"image"
        raise OSError(errno.EIO, os.strerror(errno.EIO), "picture.png")

    with (
        RunWriter(out, "tiny") as writer,
        pytest.raises(DataError, match=r"image of the train split cannot be read .*picture\.png"),
        writer.stage("a", "x"),
    ):
        writer.write_images("train", broken(), 2)


def test_write_images_streams_and_reports_progress(out: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    alive = 0

    class Counted(bytes):
        def __new__(cls) -> Counted:
            nonlocal alive
            alive += 1
            assert alive < 5
            return super().__new__(cls, b"image")

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def stream() -> Iterator[bytes]:
        for _ in range(2500):
            yield Counted()

    with RunWriter(out, "tiny") as writer, writer.stage("a", "x"):
        writer.write_images("test", stream(), 2500, lambda *call: calls.append(call), "Write images")
    assert calls == [("Write images: test", done, 2500) for done in (1000, 2000, 2500)]


def test_rewritten_file_keeps_open_map(out: Path) -> None:
    with RunWriter(out, "tiny") as writer:
        with writer.stage("a", "x"):
            writer.write_array("a.npy", np.zeros(1000))
        before = writer.array("a.npy")
        with writer.stage("a", "y"):
            writer.write_array("a.npy", np.ones(1000))
        assert not before.any()
        assert writer.array("a.npy").all()


def test_commit_contradicting_parts_are_refused(run_path: Path) -> None:
    with RunWriter(run_path, "tiny") as writer:
        write_stages(writer, 1)
        wrong = description(1).model_copy(update={"classes": ("zero", "one")})
        with pytest.raises(RunError, match=r"logits.npy has shape \[6, 3\], but the manifest says 6 .* x 2 classes"):
            writer.commit(wrong)
    assert RunFolder.open(run_path).manifest.title == "Tiny 0"
    assert build(run_path, 1)[1] == []
    assert RunFolder.open(run_path).image("test", 1) == images(1, "test")[1]


def test_open_during_rebuild_finds_old_or_new_run(run_path: Path) -> None:
    seen = set()
    for seed in range(1, 6):
        with RunWriter(run_path, "tiny") as writer:
            write_stages(writer, seed)
            seen.add(RunFolder.open(run_path).manifest.title)
            writer.commit(description(seed))
    assert seen == {f"Tiny {seed}" for seed in range(5)}
    assert RunFolder.open(run_path).read("network.safetensors") == weights(5)
