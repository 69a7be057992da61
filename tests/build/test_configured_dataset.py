"""The images of a configuration: folders, Parquet, names, factories; unusable images are listed once or left out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.bars import make_split
from tests.data.image_files import BAD
from tests.world import World
from xda.build.config import BuildConfig, load_config
from xda.build.configured_dataset import load_dataset
from xda.cli import main
from xda.data.dataset import ImageSplit
from xda.errors import ConfigError, DataError
from xda.explanation.run import Explainer
from xda.present.words import left_out_lines
from xda.runs.left_out import LeftOutImage
from xda.settings import Settings
from xda.storage.run.folder import RunFolder

CONFIG = """
[run]
id = "own"
title = "My own images"
[data]
{data}
[network]
preset = "mnist-cnn"
checkpoint = "cnn.safetensors"
[surrogate]
c = [1e-2]
"""


def config(folder: Path, data: str) -> BuildConfig:
    (folder / "own.toml").write_text(CONFIG.format(data=data))
    return load_config(folder / "own.toml")


def write_tree(folder: Path, split: ImageSplit, classes: tuple[str, ...]) -> None:
    for i, label in enumerate(split.labels.tolist()):
        path = folder / classes[label] / f"{i:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(split.encoded(i))


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, n in (("train", 30), ("test", 12)):
        write_tree(tmp_path / "flowers" / name, make_split(n, n, n_classes=3), ("rose", "tulip", "violet"))
    return tmp_path


FOLDERS = 'train = "flowers/train"\ntest = "flowers/test"'


def test_load_dataset_folders_start_at_config_file(tree: Path, home: Settings) -> None:
    dataset = load_dataset(config(tree, FOLDERS).data, home)
    assert dataset.classes == ("rose", "tulip", "violet")
    assert (dataset.name, len(dataset.train), len(dataset.test)) == ("flowers", 30, 12)
    assert sorted(dataset.train.labels.tolist()) == dataset.train.labels.tolist()


def test_title_of_generic_folder_is_its_parent(tree: Path, home: Settings) -> None:
    plain = load_dataset(config(tree, FOLDERS).data, home)
    assert (plain.name, plain.title) == ("flowers", "flowers")
    (tree / "garden").mkdir()
    (tree / "flowers").rename(tree / "garden" / "images")
    moved = load_dataset(config(tree / "garden", 'train = "images/train"\ntest = "images/test"').data, home)
    assert (moved.name, moved.title) == ("images", "garden"), "the name is part of what a build goes on from"


def test_load_dataset_empty_split_or_single_class_is_refused(tmp_path: Path, home: Settings) -> None:
    image = make_split(1, 0, n_classes=1).encoded(0)
    for name, labels in (("none", []), ("one", [0, 0]), ("two", [0, 1]), ("gap", [0, None])):
        table = pa.table({"image": pa.array([image] * len(labels), pa.binary()), "label": pa.array(labels, pa.int64())})
        pq.write_table(table, tmp_path / f"{name}.parquet")
    for train, test, words in (
        ("none", "two", "of the train split, such as .*none.parquet, hold no rows"),
        ("two", "none", "of the test split, such as .*none.parquet, hold no rows"),
        ("one", "one", "has one class only, '0'; a classifier tells at least two apart"),
        ("two", "gap", "row 1: there is no label"),
    ):
        with pytest.raises(DataError, match=words):
            load_dataset(config(tmp_path, f'train = "{train}.parquet"\ntest = "{test}.parquet"').data, home)


def test_classes_set_order_or_names_of_folders(tree: Path, home: Settings) -> None:
    order = config(tree, FOLDERS + '\nclasses = ["violet", "rose", "tulip"]').data
    plain = load_dataset(config(tree, FOLDERS).data, home)
    dataset = load_dataset(order, home)
    assert dataset.classes == ("violet", "rose", "tulip")
    assert np.bincount(dataset.train.labels).tolist() == np.roll(np.bincount(plain.train.labels), 1).tolist()
    named = load_dataset(config(tree, FOLDERS + '\nclasses = ["Rose", "Tulpe", "Veilchen"]').data, home)
    assert named.classes == ("Rose", "Tulpe", "Veilchen")
    assert named.train.labels.tolist() == plain.train.labels.tolist()
    with pytest.raises(ConfigError, match="has 2 names, but the data set has 3 classes: rose, tulip, violet"):
        load_dataset(config(tree, FOLDERS + '\nclasses = ["a", "b"]').data, home)


@pytest.mark.parametrize(
    "names", [["Rose", "rose", "violet"], ["violet", "Tulpe", "rose"], ["rose", "violet", "Tulpe"]]
)
def test_classes_that_exchange_folders_are_refused(tree: Path, home: Settings, names: list[str]) -> None:
    table = config(tree, f"{FOLDERS}\nclasses = {json.dumps(names)}").data
    with pytest.raises(ConfigError, match=r"'\w+' → '(rose|violet)'.*names of other classes.*rose, tulip, violet"):
        load_dataset(table, home)


def test_classes_may_rename_one_folder(tree: Path, home: Settings) -> None:
    dataset = load_dataset(config(tree, FOLDERS + '\nclasses = ["rose", "Tulpe", "violet"]').data, home)
    assert dataset.classes == ("rose", "Tulpe", "violet")
    assert dataset.own_classes == ("rose", "tulip", "violet")


def test_parquet_is_recognised_by_pattern_file_or_folder(tmp_path: Path, home: Settings) -> None:
    split = make_split(12, 0, n_classes=3)
    images = [{"bytes": data, "path": None} for data in split.all_encoded()]
    table = pa.table({"image": images, "label": split.labels})
    for name in ("train-0", "train-1", "test-0"):
        (tmp_path / "data").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / "data" / f"{name}.parquet")
    for train, n in (
        ('"data/train-*.parquet"', 24),
        ('"data/train-0.parquet"', 12),
        ('["data/train-0.parquet", "data/train-1.parquet"]', 24),
        ('"data"', 36),
    ):
        data = f'train = {train}\ntest = "data/test-*.parquet"\nimage = "image"\nlabel = "label"'
        dataset = load_dataset(config(tmp_path, data).data, home)
        assert len(dataset.train) == n
        assert dataset.classes == ("0", "1", "2")


def test_load_dataset_factory_is_imported(tmp_path: Path, home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "two_greys.py").write_text(
        "import torch\n"
        "def dataset(split): return torch.utils.data.TensorDataset(torch.rand(8, 1, 9, 9), torch.arange(8) % 2)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    table = config(tmp_path, 'factory = "two_greys:dataset"\nclasses = ["dark", "light"]').data
    assert load_dataset(table, home).classes == ("dark", "light")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("", "exactly one of name, train with test, and factory is needed, not none"),
        ('name = "mnist"\nfactory = "a:b"', "not name with factory"),
        ('train = "a"', "not train"),
        ('name = "mnist"\nimage = "x"', "image and label are columns of Parquet files"),
        ('name = "mnist"\nclasses = ["a", "a"]', "holds a name twice"),
        ('nam = "mnist"', "nam"),
        ('name = "mnist"\nskip_bad = "perhaps"', "skip_bad"),
    ],
)
def test_data_table_errors_name_the_key(tmp_path: Path, data: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config(tmp_path, data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ('name = "imagenet22k"', "no data set 'imagenet22k'"),
        ('name = "mnist"', "run `xda data mnist`"),
        ('train = "flowers/train"\ntest = "flowers/none"', "none does not exist; name a folder"),
        ('train = ["flowers/train", "flowers/test"]\ntest = "flowers/test"', "must each be one folder"),
        (FOLDERS + '\nimage = "x"', "train names a folder of images"),
        ('train = "flowers/*.parquet"\ntest = "x.parquet"', "no Parquet file"),
    ],
)
def test_load_dataset_missing_files_are_named(tree: Path, home: Settings, data: str, words: str) -> None:
    with pytest.raises((ConfigError, DataError), match=words):
        load_dataset(config(tree, data).data, home)


def test_skip_bad_split_of_bad_images_only_is_refused(tree: Path, home: Settings) -> None:
    for path in (tree / "flowers" / "test").rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="The test split has no image that can be used"):
        load_dataset(config(tree, FOLDERS + "\nskip_bad = true").data, home)


@pytest.mark.slow
def test_bad_images_are_reported_together_or_left_out(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A build leaves out images only on request and reports them, on the command line and in the run."""
    checkpoint = world.config.network.checkpoint
    assert checkpoint is not None
    (tmp_path / "cnn.safetensors").write_bytes(checkpoint.read_bytes())
    for name in ("train", "test"):
        write_tree(tmp_path / "digits" / name, getattr(world.dataset, name), world.dataset.classes)
    spoilt = [tmp_path / "digits" / "train" / "3" / "aa.png", tmp_path / "digits" / "test" / "4" / "zz.jpg"]
    spoilt[0].write_bytes(b"")
    spoilt[1].write_bytes(BAD["truncated.jpg"][0]())
    config(tmp_path, 'train = "digits/train"\ntest = "digits/test"')
    build = ["build", str(tmp_path / "own.toml"), "--out", str(tmp_path / "run"), "--home", str(tmp_path / "home")]
    assert main([*build, "--device", "cpu"]) == 2
    complaint = capsys.readouterr().err.splitlines()
    (first,) = (line for line in complaint if "cannot be used" in line)
    assert "2 images cannot be used" in first
    assert "--skip-bad" in first
    named = complaint[complaint.index(first) + 1 :]
    assert [re.split(": ", line.strip())[0] for line in named] == [str(path) for path in spoilt]
    assert not (tmp_path / "run").exists()

    assert main([*build, "--device", "cpu", "--skip-bad"]) == 0
    assert main(["info", str(tmp_path / "run")]) == 0
    told = capsys.readouterr().out
    assert "2 images left out as unusable (1 for training, 1 for testing)" in told
    assert "aa.png: the file is empty" in told
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["dataset"]["left_out"] == {"train": 1, "test": 1}
    with Explainer.open(tmp_path / "run", device="cpu") as explainer:
        assert (explainer.n_train, explainer.n_test) == (600, 120)
        assert [(each.split, Path(each.name)) for each in explainer.left_out] == list(
            zip(("train", "test"), spoilt, strict=True)
        )
    assert main(["verify", str(tmp_path / "run"), "--device", "cpu"]) == 0


def test_left_out_images_of_one_reason_share_a_line(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    left_out = [LeftOutImage("train", f"{k}.png", f"it is truncated at byte {k}") for k in range(30)]
    monkeypatch.setattr("xda.present.words.read_left_out", lambda _: tuple(left_out))
    assert left_out_lines(RunFolder.open(world.run, verify=False)) == [
        "30 images: it is truncated at byte 0 (0.png, 1.png, 2.png and 27 more)",
        "left_out.parquet in the run names them all",
    ]
    monkeypatch.setattr("xda.present.words.read_left_out", lambda _: tuple(left_out[:2]))
    assert left_out_lines(RunFolder.open(world.run, verify=False)) == [
        "0.png: it is truncated at byte 0",
        "1.png: it is truncated at byte 1",
    ]
