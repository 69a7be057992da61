"""Tests of xda.data.parquet: files as Hugging Face's ``datasets`` writes them, made here with pyarrow alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.bars import make_split
from tests.data.image_files import BAD, GOOD
from xda.data import parquet
from xda.data.dataset import ImageSplit
from xda.errors import ConfigError, DataError

NAMES = ["cat", "dog", "owl"]


def metadata(names: Any = NAMES, label: str = "label", image: str = "image") -> dict[str, str]:
    """Return metadata as ``datasets`` puts them into the schema."""
    features = {image: {"_type": "Image"}, label: {"names": names, "_type": "ClassLabel"}}
    return {"huggingface": json.dumps({"info": {"features": features}})}


def write(
    path: Path,
    split: ImageSplit,
    rows: slice = slice(None),
    *,
    labels: list[Any] | None = None,
    bytes_only: bool = False,
    about: dict[str, str] | None = None,
    image: str = "image",
    label: str = "label",
    row_group_size: int = 7,
) -> None:
    """Write rows of a split as a shard."""
    data = [split.encoded(i) for i in range(len(split))[rows]]
    values = split.labels[rows].tolist() if labels is None else labels
    images = pa.array(data if bytes_only else [{"bytes": each, "path": None} for each in data])
    table = pa.table({image: images, label: values})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(about), path, row_group_size=row_group_size)


@pytest.fixture
def split() -> ImageSplit:
    return make_split(50, 0, n_classes=3)


def patterns(folder: Path) -> tuple[list[str], list[str]]:
    return [str(folder / "train-*.parquet")], [str(folder / "test-*.parquet")]


def test_load_of_shards_joins_them_in_the_order_of_their_names(tmp_path: Path, split: ImageSplit) -> None:
    for number, rows in enumerate((slice(0, 20), slice(20, 20), slice(20, 50))):
        write(tmp_path / f"train-{number:05d}-of-00003.parquet", split, rows, about=metadata())
    write(tmp_path / "test-00000-of-00001.parquet", split, slice(0, 5), about=metadata())
    dataset = parquet.load(*patterns(tmp_path))
    assert dataset.classes == ("cat", "dog", "owl")
    assert dataset.train.labels.tolist() == split.labels.tolist()
    assert list(dataset.train.all_encoded()) == list(split.all_encoded())
    assert len(dataset.test) == 5
    # access in any order works too
    for i in (49, 0, 21, 20, 19, 3, 3, 48):
        assert dataset.train.encoded(i) == split.encoded(i)
    with pytest.raises(IndexError):
        dataset.train.encoded(50)


def test_fingerprint_does_not_depend_on_how_images_are_sharded(tmp_path: Path, split: ImageSplit) -> None:
    write(tmp_path / "a" / "train-0.parquet", split, about=metadata())
    write(tmp_path / "b" / "train-0.parquet", split, slice(0, 10), about=metadata(), bytes_only=True)
    write(tmp_path / "b" / "train-1.parquet", split, slice(10, 50), about=metadata(), bytes_only=True)
    labels = [2 - k for k in split.labels.tolist()]
    write(tmp_path / "c" / "train-0.parquet", split, labels=labels, about=metadata())
    prints = []
    for folder in ("a", "b", "c"):
        write(tmp_path / folder / "test-0.parquet", split, slice(0, 5), about=metadata())
        prints.append(parquet.load(*patterns(tmp_path / folder)).train.fingerprint)
    assert prints[0] == prints[1] != prints[2]


def test_load_takes_columns_by_name_or_kind_and_refuses_doubtful_ones(tmp_path: Path, split: ImageSplit) -> None:
    paths = [str(tmp_path / "x.parquet")], [str(tmp_path / "x.parquet")]
    write(tmp_path / "x.parquet", split, image="img", label="fine_label", bytes_only=True)
    assert len(parquet.load(*paths).train) == 50
    write(tmp_path / "x.parquet", split, image="picture", label="species")
    assert parquet.load(*paths).classes == ("0", "1", "2")
    assert len(parquet.load(*paths, image="picture", label="species").train) == 50
    with pytest.raises(ConfigError, match=r"Not 'image'; it has picture, species\. Name it as 'image'"):
        parquet.load(*paths, image="image")
    table = pq.read_table(tmp_path / "x.parquet")
    pq.write_table(table.append_column("other", table["species"]), tmp_path / "x.parquet")
    with pytest.raises(ConfigError, match="which column holds the labels"):
        parquet.load(*paths)


def test_load_of_text_labels_names_the_classes_by_them(tmp_path: Path, split: ImageSplit) -> None:
    names = ["owl", "cat", "dog"]
    labels = [names[k] for k in split.labels.tolist()]
    write(tmp_path / "train-0.parquet", split, labels=labels)
    write(tmp_path / "test-0.parquet", split, slice(0, 2), labels=["dog", "owl"])
    dataset = parquet.load(*patterns(tmp_path))
    assert dataset.classes == ("cat", "dog", "owl")
    assert [dataset.classes[k] for k in dataset.train.labels.tolist()] == labels
    assert dataset.test.labels.tolist() == [1, 2]


@pytest.mark.parametrize("label", [-1, 3, None])
def test_load_with_an_unknown_label_names_its_row(tmp_path: Path, split: ImageSplit, label: int | None) -> None:
    write(tmp_path / "train-0.parquet", split, about=metadata())
    write(tmp_path / "test-0.parquet", split, slice(0, 3), labels=[0, 1, label], about=metadata())
    words = "there is no label" if label is None else f"the label {label} is none of the 3 classes"
    with pytest.raises(DataError, match=rf"test-0\.parquet, row 2: {words}"):
        parquet.load(*patterns(tmp_path))


@pytest.mark.parametrize("about", [None, {"huggingface": "{"}, {"huggingface": "[]"}, metadata(names=7)])
def test_load_without_readable_metadata_names_classes_by_numbers(
    tmp_path: Path, split: ImageSplit, about: dict[str, str] | None
) -> None:
    write(tmp_path / "x.parquet", split, about=about)
    assert parquet.load([str(tmp_path)], [str(tmp_path)]).classes == ("0", "1", "2")


def test_load_with_numbered_class_names_in_metadata_keeps_their_order() -> None:
    schema = pa.schema([("label", pa.int64())], metadata=metadata(names={str(k): f"class {k}" for k in range(11)}))
    names = parquet.class_names(schema, "label")
    assert names is not None
    assert names[2] == "class 2"
    assert names[10] == "class 10"


def test_load_with_bad_images_leaves_them_out_and_names_shard_and_row(tmp_path: Path) -> None:
    good = GOOD["photo.jpg"]()
    images = [good, BAD["truncated.jpg"][0](), None, good, b"", good]
    table = pa.table({"image": [{"bytes": each, "path": "x"} for each in images], "label": [0, 1, 1, 1, 0, 0]})
    pq.write_table(table, tmp_path / "train-0.parquet", row_group_size=2)
    pq.write_table(table.slice(0, 1), tmp_path / "test-0.parquet")
    dataset = parquet.load(*patterns(tmp_path))
    assert dataset.train.labels.tolist() == [0, 1, 0]
    assert list(dataset.train.all_encoded()) == [good] * 3
    assert [each.name.rpartition(", ")[2] for each in dataset.left_out] == ["row 1", "row 2", "row 4"]
    assert [each.reason for each in dataset.left_out][1:] == ["there are no bytes", "the file is empty"]


def test_load_of_missing_or_damaged_files_names_them(tmp_path: Path, split: ImageSplit) -> None:
    with pytest.raises(DataError, match=r"no Parquet file .*train-\*\.parquet"):
        parquet.load(*patterns(tmp_path))
    (tmp_path / "train-0.parquet").write_bytes(b"PAR1 and no more")
    write(tmp_path / "test-0.parquet", split)
    with pytest.raises(DataError, match=r"train-0\.parquet cannot be read as Parquet"):
        parquet.load(*patterns(tmp_path))
    write(tmp_path / "train-0.parquet", split)
    write(tmp_path / "train-1.parquet", split, label="class")
    with pytest.raises(ConfigError, match=r"train-1\.parquet has no column 'label'"):
        parquet.load(*patterns(tmp_path))


@pytest.mark.slow
def test_load_of_a_large_row_group_holds_few_images_in_memory(tmp_path: Path) -> None:
    """One row group of 64 MB is read with a fraction of that in memory."""
    rng = np.random.default_rng(0)
    columns = parquet.Columns("image", "label")
    table = pa.table({"image": pa.array([rng.bytes(1 << 20) for _ in range(64)], pa.binary()), "label": [0] * 64})
    pq.write_table(table, tmp_path / "x.parquet", compression="none", use_dictionary=False)
    del table
    before = pa.total_allocated_bytes()
    peak = 0
    for _ in parquet.read_images(str(tmp_path / "x.parquet"), columns):
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert 0 < peak < 16 << 20


def test_encoded_images_from_a_later_row_skip_the_earlier_ones(tmp_path: Path, split: ImageSplit) -> None:
    write(tmp_path / "x.parquet", split, row_group_size=40)
    columns = parquet.Columns("image", "label")
    for first in (0, 31, 33, 40, 41, 50):
        images = list(parquet.read_images(str(tmp_path / "x.parquet"), columns, first))
        assert images == list(split.all_encoded())[first:]


def test_load_with_a_named_pipe_among_the_shards_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.parquet")
    with pytest.raises(DataError, match=r"pipe\.parquet cannot be read as Parquet .*not a plain file"):
        parquet.load([str(tmp_path / "*.parquet")], [str(tmp_path / "*.parquet")])


def test_origins_after_left_out_images_keep_file_and_row(tmp_path: Path, split: ImageSplit) -> None:
    for number in range(2):
        path = tmp_path / "data" / f"train-{number}.parquet"
        write(path, split, slice(0, 4), about=metadata())
        table = pq.read_table(path)
        images = table["image"].to_pylist()
        images[1]["bytes"] = b"damaged"
        pq.write_table(table.set_column(0, table.schema.field(0), pa.array(images)), path)
    shards = [str(tmp_path / "data")]
    rows = [f"train-{number}.parquet, row {row}" for number in range(2) for row in (0, 2, 3)]
    assert list(parquet.load(shards, shards).train.origins("train")) == rows
    seen = parquet.load(shards, shards, base=tmp_path).train
    assert list(seen.origins("train")) == [f"data/{each}" for each in rows]
