"""Every image has a source, even with left-out images and hostile names."""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from tests.build.foreign import CLASSES, make_config, make_dataset, write_checkpoint, write_tree
from tests.storage.run.tiny_run import COUNTS, STAGES, build, description, write_outputs
from tests.world import World
from xda.build.config import DataTable
from xda.build.configured_dataset import load_dataset
from xda.build.pipeline import build_run
from xda.errors import NotFoundError, RunError
from xda.explanation.run import Explainer
from xda.networks.spec import NetworkSpec
from xda.runs.sources import MOST_BYTES, Sources, pack, plain
from xda.settings import Settings
from xda.storage.files import fingerprint
from xda.storage.run.folder import RunFolder
from xda.storage.run.layout import source_files
from xda.storage.run.writer import RunWriter

NAMES = ("train/cat/a.png", "train/dog/a.png", "train/cat/b c.png", "train/dog/ü.png", "data/p.parquet, row 0", "a.png")
PREPROCESSING = {"mode": "RGB", "size": [24, 24], "mean": [0.5] * 3, "std": [0.5] * 3}


def with_sources(out: Path, content: bytes, offsets: np.ndarray[Any, Any]) -> RunFolder:
    """Return the tiny run with these two files for its training images."""
    with RunWriter(out, "tiny") as writer:
        for stage, write in STAGES.items():
            with writer.stage(stage, fingerprint(stage)):
                write(writer, 0)
        for split in ("train", "test"):
            write_outputs(writer, 0, split)
        with writer.stage("sources", fingerprint("sources")):
            writer.write_bytes(source_files("train")[0], content)
            writer.write_array(source_files("train")[1], offsets)
        return writer.commit(description())


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    assert len(NAMES) == COUNTS.train
    return Sources(with_sources(tmp_path / "tiny", *pack(NAMES, len(NAMES))), "train")


def test_sources_are_read_by_position(sources: Sources) -> None:
    assert sources.of(np.arange(6)) == list(NAMES)
    assert sources.of(np.array([3, 0])) == [NAMES[3], NAMES[0]]
    assert sources.one(5) == "a.png"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("train/cat/a.png", 0),
        ("cat/a.png", 0),
        ("/home/me/data/train/dog/a.png", 1),
        ("./train/dog/a.png", 1),
        ("b c.png", 2),
        ("ü.png", 3),
        ("p.parquet, row 0", 4),
        ("a.png", 5),
    ],
)
def test_find_takes_a_source_its_end_or_a_longer_path(sources: Sources, text: str, found: int) -> None:
    assert sources.find(text) == found


@pytest.mark.parametrize("text", ["", "png", "x.png", "at/b c.png", "/", "a.pn", "train/bird/b c.png/", ".*"])
def test_find_unknown_source_names_an_example(sources: Sources, text: str) -> None:
    with pytest.raises(NotFoundError, match=r"an example is train/cat/a\.png"):
        sources.find(text)


def test_find_ambiguous_source_lists_candidates(tmp_path: Path) -> None:
    names = [f"train/{k}/same.png" for k in range(6)]
    sources = Sources(with_sources(tmp_path / "tiny", *pack(names, 6)), "train")
    with pytest.raises(NotFoundError, match=r"6 training images .* train/0/same.png \(0\), .* and 1 more\. Give more"):
        sources.find("same.png")


@pytest.mark.parametrize("offsets", [[0, 5, 4, 6, 7, 8, 9], [1, 2, 3, 4, 5, 6, 9], [0, 1, 2, 3, 4, 5, 10**12]])
def test_sources_offsets_that_contradict_texts_are_refused(tmp_path: Path, offsets: list[int]) -> None:
    run = with_sources(tmp_path / "tiny", b"123456789", np.array(offsets))
    with pytest.raises(RunError, match="does not fit"):
        Sources(run, "train")


def test_sources_offsets_of_another_count_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="7 train images plus one"):
        with_sources(tmp_path / "tiny", b"12", np.array([0, 1, 2]))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb\x1b[31m\0.png", "a\\nb\\x1b[31m\\x00.png"),
        (os.fsdecode(b"caf\xe9.png"), "caf\\udce9.png"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("<b>'\"&.png", "<b>'\"&.png"),
        ("x" * 10_000 + "/end.png", "…" + "x" * (MOST_BYTES - 11) + "/end.png"),
    ],
)
def test_plain_hostile_name_becomes_one_printable_line(tmp_path: Path, name: str, shown: str) -> None:
    assert plain(name) == shown
    assert len(shown.encode()) <= MOST_BYTES
    sources = Sources(with_sources(tmp_path / "tiny", *pack([name] * 6, 6)), "train")
    assert sources.one(0) == shown


def test_sources_of_hostile_run_are_printable(tmp_path: Path) -> None:
    content = b"\xff\n\x1b]0;x\x07\0" + b"y" * 1_000_000 + b"\0" + b"\0" * 4
    run = with_sources(tmp_path / "tiny", content, np.array([0, 9, 1_000_010, *range(1_000_011, 1_000_015)]))
    first, second, *rest = Sources(run, "train").of(np.arange(6))
    assert first == "\ufffd\\n\\x1b]0;x\\x07"
    assert second is not None
    assert len(second.encode()) == MOST_BYTES
    assert rest == [""] * 4


def test_sources_of_earlier_version_are_unknown(tmp_path: Path) -> None:
    run, _ = build(tmp_path / "tiny")
    sources = Sources(run, "train")
    assert sources.of(np.array([0, 1])) == [None, None]
    assert sources.lookup is None
    with pytest.raises(NotFoundError, match="an earlier version built it; give the number of the training image"):
        sources.find("a.png")


def test_sources_million_are_mapped_not_read() -> None:
    content, offsets = pack((f"train/class-{k % 1000:03}/{k:07}.png" for k in range(1_000_000)), 1_000_000)
    mapped = np.frombuffer(content, np.uint8)
    run = SimpleNamespace(
        manifest=SimpleNamespace(files={source_files("train")[0]: None}),
        content=lambda name: mapped,
        array=lambda name: offsets,
    )
    tracemalloc.start()
    sources = Sources(cast(RunFolder, run), "train")
    assert sources.one(999_999) == "train/class-999/0999999.png"
    assert sources.find("0500000.png") == 500_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000


@pytest.fixture(scope="module")
def from_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data set in folders with an unusable image, and its run."""
    folder = tmp_path_factory.mktemp("files")
    write_tree(folder / "data")
    (folder / "data" / "train" / "blue" / "000-bad.png").write_bytes(b"no image")
    os.rename(folder / "data" / "test" / "red" / "000.png", folder / "data" / "test" / "red" / "<i>&'.png")
    table = DataTable(train=(folder / "data" / "train",), test=(folder / "data" / "test",), skip_bad=True)
    dataset = load_dataset(table, Settings(home=folder))
    checkpoint = write_checkpoint(NetworkSpec("resnet18", len(CLASSES), "torchvision"), folder / "resnet.pt")
    config = make_config({"torchvision": "resnet18", "checkpoint": checkpoint}, **PREPROCESSING)
    build_run(config, dataset, folder / "run", device="cpu")
    return folder / "data", folder / "run"


def test_sources_lead_to_files_although_one_was_left_out(from_files: tuple[Path, Path]) -> None:
    data, run = from_files
    with Explainer.open(run, device="cpu") as explainer:
        for split, n in (("train", explainer.n_train), ("test", explainer.n_test)):
            for index in range(n):
                source = explainer.source(split, index)  # type: ignore[arg-type]
                assert (data / str(source)).read_bytes() == explainer.image(split, index)[0]  # type: ignore[arg-type]
                assert explainer.find(split, str(data / str(source))) == index  # type: ignore[arg-type]
        told = explainer.explain(1, limit=3)
        assert told.test.source == explainer.source("test", 1)
        for part in (*told.supporting, *told.opposing):
            assert part.source == explainer.source("train", part.index)
        asked = explainer.explain(1, target=0, against=1, limit=3)
        for part in (*asked.supporting, *asked.opposing):
            assert part.source == explainer.source("train", part.index)
        assert told.to_arrow()["source"].to_pylist()
        table = explainer.decompose(1).to_arrow()
        assert table["source"].to_pylist() == [explainer.source("train", k) for k in table["index"].to_pylist()]


def test_sources_of_set_without_files_are_positions(world: World, explainer: Explainer) -> None:
    assert explainer.source("train", 17) == "train[17]"
    assert explainer.find("test", "test[119]") == 119
    assert explainer.find("test", "7") == 7


def test_build_renamed_files_change_sources_only(tmp_path: Path) -> None:
    dataset = make_dataset()
    checkpoint = write_checkpoint(NetworkSpec("resnet18", len(CLASSES), "torchvision"), tmp_path / "resnet.pt")
    config = make_config({"torchvision": "resnet18", "checkpoint": checkpoint}, **PREPROCESSING)

    class Named:
        def __init__(self, inner: Any, name: str) -> None:
            self.inner, self.name = inner, name
            self.encoded, self.pixels = inner.encoded, inner.pixels

        def origin(self, index: int) -> str:
            return f"{self.name}-{index}"

    runs = []
    for name in ("a", "b"):
        train = replace(dataset.train, source=Named(dataset.train.source, name))
        runs.append(build_run(config, replace(dataset, train=train), tmp_path / "run", device="cpu"))
    first, second = (run.manifest.files for run in runs)
    changed = {name for name in first if first[name] != second[name]}
    assert changed - {"surrogates/c-0.01/certificate.json"} == {"train/sources.bin"}, "but for the seconds of the fit"
