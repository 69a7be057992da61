"""Opening a finished run: every contradiction of the manifest is refused, with both sides named."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.storage.run.tiny_run import COUNTS, SPLITS, SURROGATE, build, images, weights
from xda.errors import NotFoundError, RunError
from xda.storage.run import folder, swap
from xda.storage.run.folder import RunFolder


def rewrite(run_path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest of a run."""
    path = run_path / "manifest.json"
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))


def adopt(run_path: Path, name: str, content: bytes) -> None:
    """Replace a file and its hash and size in the manifest, as a forger would."""
    (run_path / name).write_bytes(content)

    def change(document: dict[str, Any]) -> None:
        document["files"][name].update(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))

    rewrite(run_path, change)


def files_of(run_path: Path) -> list[str]:
    """Return the names of all files in the manifest of a run."""
    return list(json.loads((run_path / "manifest.json").read_bytes())["files"])


def test_run_written_comes_back(run_path: Path) -> None:
    run = RunFolder.open(run_path)
    assert run.path == run_path
    assert run.digest == hashlib.sha256((run_path / "manifest.json").read_bytes()).hexdigest()
    for split in SPLITS:
        assert [run.image(split, index) for index in range(getattr(COUNTS, split))] == images(0, split)
        assert run.table(f"{split}.parquet").column_names == ["label", "predicted"]
        features = run.array(f"{split}/features.npy")
        assert features.shape == (getattr(COUNTS, split), COUNTS.features)
        np.testing.assert_array_equal(features, np.load(run_path / split / "features.npy"), strict=True)
    assert run.read("network.safetensors") == weights(0)
    np.testing.assert_array_equal(
        run.array(f"{SURROGATE}/dual_indices.npy"), np.array([0, 1, 1, 2], np.int32), strict=True
    )
    run.verify_files()


@pytest.mark.parametrize("small", [0, 1 << 18], ids=["mapped", "read"])
def test_run_arrays_are_read_only(run_path: Path, small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "_SMALL", small)
    array = RunFolder.open(run_path).array("train/features.npy")
    assert not array.flags.owndata
    assert not array.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.flags.writeable = True


@pytest.mark.parametrize("index", [-1, 6, 10**30])
def test_image_unknown_is_not_found(run_path: Path, index: int) -> None:
    with pytest.raises(NotFoundError, match=r"no train image .* has 6 of them"):
        RunFolder.open(run_path).image("train", index)


def test_run_file_of_another_kind_is_refused(run_path: Path) -> None:
    run = RunFolder.open(run_path)
    for call in (run.array, run.table, run.read):
        with pytest.raises(RunError, match="has no file"):
            call("../../etc/passwd")
    with pytest.raises(RunError, match="not an array"):
        run.array("train.parquet")
    with pytest.raises(RunError, match="is an array"):
        run.read("train/features.npy")
    with pytest.raises(RunError, match="no readable Parquet"):
        run.table("network.safetensors")


def test_open_flipped_bit_in_any_file_is_refused(run_path: Path, tmp_path: Path) -> None:
    for number, name in enumerate(files_of(run_path)):
        copy = tmp_path / str(number)
        shutil.copytree(run_path, copy)
        content = bytearray((copy / name).read_bytes())
        before = hashlib.sha256(content).hexdigest()
        content[-1] ^= 1
        (copy / name).write_bytes(content)
        after = hashlib.sha256(content).hexdigest()
        with pytest.raises(RunError, match=rf"{name} is damaged: it has SHA-256 {after}, .* says {before}"):
            RunFolder.open(copy)
        run = RunFolder.open(copy, verify=False)
        with pytest.raises(RunError, match=f"{name} is damaged"):
            run.verify_files()


@pytest.mark.parametrize("verify", [True, False])
def test_open_truncated_grown_or_missing_file_is_refused(run_path: Path, tmp_path: Path, verify: bool) -> None:
    for number, name in enumerate(files_of(run_path)):
        size = (run_path / name).stat().st_size
        for kind, change in enumerate((-1, 1, -size)):
            copy = tmp_path / f"{number}-{kind}"
            shutil.copytree(run_path, copy)
            os.truncate(copy / name, size + change)
            with pytest.raises(RunError, match=f"{name} has {size + change} bytes, but the manifest says {size}"):
                RunFolder.open(copy, verify=verify)
            (copy / name).unlink()
            with pytest.raises(RunError, match=f"{name} is missing"):
                RunFolder.open(copy, verify=verify)


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("kind", ["link", "folder link", "pipe", "folder"])
def test_open_special_file_inside_is_refused(run_path: Path, tmp_path: Path, kind: str, verify: bool) -> None:
    path = run_path / "train" / "features.npy"
    if kind == "folder link":
        path.parent.rename(tmp_path / "elsewhere")
        path.parent.symlink_to(tmp_path / "elsewhere")
    else:
        path.rename(tmp_path / "elsewhere")
        if kind == "link":
            path.symlink_to(tmp_path / "elsewhere")
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.mkdir()
    with pytest.raises(RunError, match=r"train/[a-z_.]+ (cannot be read|is not a plain file)"):
        RunFolder.open(run_path, verify=verify)


def test_run_copied_moved_or_linked_is_the_same(run_path: Path, tmp_path: Path) -> None:
    digest = RunFolder.open(run_path).digest
    shutil.copytree(run_path, tmp_path / "copy")
    assert RunFolder.open(tmp_path / "copy").digest == digest
    run_path.rename(tmp_path / "moved")
    assert RunFolder.open(tmp_path / "moved").digest == digest
    (tmp_path / "link").symlink_to("moved")
    assert RunFolder.open(tmp_path / "link").image("test", 0) == images(0, "test")[0]


@pytest.mark.parametrize("small", [0, 1 << 18], ids=["mapped", "read"])
def test_open_run_survives_rebuild_and_removal(run_path: Path, small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "_SMALL", small)
    run = RunFolder.open(run_path)
    features = run.array("train/features.npy").copy()
    new, _ = build(run_path, 1)
    assert run.manifest.title == "Tiny 0"
    assert new.manifest.title == "Tiny 1"
    assert run.image("train", 3) == images(0, "train")[3]
    assert new.image("train", 3) == images(1, "train")[3]
    np.testing.assert_array_equal(run.array("train/features.npy"), features)
    assert run.table("test.parquet").num_rows == 4
    with pytest.raises(RunError, match=f"run {new.digest} instead of {run.digest}"):
        run.verify_files()
    shutil.rmtree(run_path)
    assert run.read("network.safetensors") == weights(0)


def test_run_large_arrays_are_mapped_small_ones_read(tmp_path: Path) -> None:
    path = tmp_path / "large.npy"
    np.save(path, np.ones(1 << 22, np.float32))
    before = len(os.listdir("/proc/self/fd"))
    tracemalloc.start()
    with path.open("rb") as stream:
        array = folder._map_file(stream, 128, np.dtype(np.float32), (1 << 22,))
        small = folder._map_file(stream, 128, np.dtype(np.float32), (8,))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert array.sum() == 1 << 22
    assert small.tolist() == [1] * 8
    with path.open("rb") as stream:
        assert folder._map_file(stream, 128, np.dtype(np.float32), (0, 3)).shape == (0, 3)
    assert len(os.listdir("/proc/self/fd")) == before + 1


def test_run_is_readable_from_several_threads(run_path: Path) -> None:
    run = RunFolder.open(run_path)

    def read(number: int) -> bool:
        index = number % 6
        return run.image("train", index) == images(0, "train")[index] and run.table("train.parquet").num_rows == 6

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(200)))


def put_manifest(path: Path, put: Callable[[Path], object]) -> None:
    """Create a folder and, by a function that gets its path, its manifest.json."""
    path.mkdir()
    put(path / "manifest.json")


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda path: None, "There is no run folder"),
        (lambda path: path.write_text("x"), "is a file, not a run folder"),
        (lambda path: path.mkdir(), "is not a run folder: it has no manifest.json"),
        (lambda path: path.symlink_to(path), "cannot be opened"),
        (lambda path: put_manifest(path, Path.mkdir), "manifest.json"),
        (lambda path: put_manifest(path, os.mkfifo), "manifest.json is not a plain file"),
        (lambda path: put_manifest(path, lambda file: file.symlink_to("x")), "manifest.json cannot be read"),
        (lambda path: put_manifest(path, lambda file: file.write_bytes(b" " * (17 << 20))), "is larger than"),
        (lambda path: put_manifest(path, lambda file: file.write_text("{}")), "not the manifest of a run"),
    ],
    ids=range(9),
)
def test_open_not_a_run_folder_is_refused(tmp_path: Path, prepare: Callable[[Path], object], message: str) -> None:
    prepare(tmp_path / "run")
    with pytest.raises(RunError, match=message):
        RunFolder.open(tmp_path / "run")


@pytest.mark.parametrize("path", ["", "a\x00b", "x" * 5000, "manifest.json/x"])
def test_open_strange_path_is_refused(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(RunError):
        RunFolder.open(Path(path))


def test_open_other_schema_version_is_refused(run_path: Path) -> None:
    rewrite(run_path, lambda document: document.update(schema_version=2))
    with pytest.raises(RunError, match="schema version 2, this program reads version 1"):
        RunFolder.open(run_path)


def test_open_weights_of_another_network_is_refused(run_path: Path) -> None:
    adopt(run_path, "network.safetensors", weights(1))
    with pytest.raises(RunError, match="the features were computed with the weights"):
        RunFolder.open(run_path)


def test_open_array_of_another_shape_is_refused(run_path: Path) -> None:
    np.save(run_path / "train" / "features.npy", np.zeros((5, 6), np.float32))
    adopt(run_path, "train/features.npy", (run_path / "train" / "features.npy").read_bytes())
    with pytest.raises(RunError, match=r"of type <f4 and shape \[5, 6\], but the manifest says <f4 and \[6, 5\]"):
        RunFolder.open(run_path)


def test_open_pickle_is_never_loaded(run_path: Path) -> None:
    np.save(run_path / "evil.npy", np.array([{}], object), allow_pickle=True)
    adopt(run_path, "train/features.npy", (run_path / "evil.npy").read_bytes())
    with pytest.raises(RunError, match="not plain numbers"):
        RunFolder.open(run_path)


def test_table_of_another_length_is_refused(run_path: Path) -> None:
    pa.parquet.write_table(pa.table({"label": [1]}), run_path / "short.parquet")
    adopt(run_path, "train.parquet", (run_path / "short.parquet").read_bytes())
    with pytest.raises(RunError, match="has 1 rows, but the manifest says 6 images"):
        RunFolder.open(run_path).table("train.parquet")


@pytest.mark.parametrize("offsets", [[0, -5, 3, 4, 5, 6, 7], [0, 10**12, 1, 1, 1, 1, 1], [3, 3, 3, 3, 3, 3, 3]])
def test_image_with_offsets_outside_is_refused(run_path: Path, offsets: list[int]) -> None:
    np.save(run_path / "train" / "image_offsets.npy", np.array(offsets))
    adopt(run_path, "train/image_offsets.npy", (run_path / "train" / "image_offsets.npy").read_bytes())
    with pytest.raises(RunError, match="puts train image 0 at bytes"):
        RunFolder.open(run_path).image("train", 0)


def test_open_after_half_a_swap_recovers(run_path: Path) -> None:
    digest = RunFolder.open(run_path).digest
    run_path.rename(swap.aside_path(run_path))
    assert RunFolder.open(run_path).digest == digest
