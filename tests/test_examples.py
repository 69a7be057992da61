"""The example configurations: `xda build --check` accepts each, on small data of its kind."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import world
from tests.build import foreign
from tests.test_cli import run
from xda.build import check
from xda.build.config import (
    BuildConfig,
    DataTable,
    IndexTable,
    NetworkTable,
    PreprocessingTable,
    RunTable,
    SurrogateTable,
    load_config,
)
from xda.data.dataset import ArraySource, ImageDataset, ImageSplit
from xda.data.known import registry
from xda.explanation.run import Explainer
from xda.networks.checkpoints import save_weights
from xda.networks.spec import build_network

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.toml"))


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the examples, next to which their data can be put."""
    folder = Path(shutil.copytree(ROOT / "examples", tmp_path / "examples"))
    monkeypatch.setattr(check, "SECONDS", 0.0)
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    sys.modules.pop("my_project", None)


def put_weights(config: BuildConfig, n_classes: int) -> None:
    assert config.network.checkpoint is not None
    save_weights(build_network(config.network.spec(n_classes)), config.network.checkpoint)


def put_parquet(pattern: Path, split: ImageSplit) -> None:
    """Write a file as Hugging Face does: a struct with the bytes, names of classes in the metadata."""
    images = [{"bytes": split.encoded(i), "path": f"{i}.png"} for i in range(len(split))]
    features = {"labels": {"names": list(foreign.CLASSES), "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    table = pa.table({"image": images, "labels": split.labels})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pattern.parent.mkdir(exist_ok=True)
    pq.write_table(table.replace_schema_metadata(metadata), str(pattern).replace("*", "00000-of-00001"))


def known_dataset(name: str) -> ImageDataset:
    """Return a few images in the place of a data set that would have to be fetched."""
    if name == "mnist":
        return world.make_dataset()[0]
    assert name == "cifar100"
    labels = np.arange(100)
    images = np.random.default_rng(0).integers(0, 256, (100, 32, 32, 3)).astype(np.uint8)
    split = ImageSplit(labels, "0" * 64, ArraySource(images))
    return ImageDataset(name, "CIFAR-100", tuple(map(str, range(100))), split, split)


def put_data(config: BuildConfig, monkeypatch: pytest.MonkeyPatch) -> int:
    """Bring the data that a configuration names; return the number of classes."""
    table = config.data
    if table.name is not None:
        assert table.name in registry.known_datasets()
        dataset = known_dataset(table.name)
        monkeypatch.setattr(registry, "load", lambda *_, **__: dataset)
        return len(dataset.classes)
    if table.is_parquet:
        for (pattern,), split in ((table.train, foreign.make_split(9, 0)), (table.test, foreign.make_split(3, 1))):
            put_parquet(pattern, split)
    elif table.train:
        foreign.write_tree(table.train[0].parent)
    return len(foreign.CLASSES)


def test_examples_exist_for_each_case() -> None:
    texts = [(ROOT / "examples" / name).read_text() for name in EXAMPLES]
    for case in ("preset", "torchvision", "timm", "factory"):
        assert any(re.search(rf"^{case} = ", text, re.M) for text in texts), case
    for case in ('name = "mnist"', 'train = "images/train"', 'train = "data/train-', 'factory = "my_project:images"'):
        assert any(case in text for text in texts), case


@pytest.mark.parametrize(
    "table", [RunTable, DataTable, NetworkTable, PreprocessingTable, SurrogateTable, IndexTable], ids=str
)
def test_examples_explain_each_key(table: type[RunTable]) -> None:
    text = "\n".join((ROOT / "examples" / name).read_text() for name in EXAMPLES)
    missing = [key for key in table.model_fields if not re.search(rf"^(# |\[network\.)?{key}( = |\])", text, re.M)]
    assert missing == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_in_the_readme(name: str) -> None:
    assert f"(examples/{name})" in (ROOT / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_can_be_checked(
    name: str, examples: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load_config(examples / name)
    n_classes = put_data(config, monkeypatch)
    if config.network.checkpoint is not None:
        put_weights(config, n_classes)
    status, out, err = run(capsys, "build", examples / name, "--check", "--home", examples / "home", "--device", "cpu")
    assert status == 0, err
    assert config.run.title in out
    assert f"{config.network.kind} {config.network.spec(2).name}" in out


@pytest.mark.slow
def test_example_with_own_code_is_built_and_explained(
    examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("build", examples / "factory.toml", "--out", tmp_path / "run", "--home", tmp_path, "--device", "cpu")
    status, _, err = run(capsys, *arguments)
    assert status == 0, err
    assert run(capsys, "verify", tmp_path / "run", "--device", "cpu", "--allow-factory", "my_project")[0] == 0
    with Explainer.open(tmp_path / "run", device="cpu", allow_factory=["my_project"]) as explainer:
        assert explainer.classes == ("square", "cross")
        assert explainer.run.manifest.network.accuracy == 1
        explanation = explainer.explain(3, limit=2)
        pairs = explainer.relevance(3, [found.index for found in explanation.supporting]).result(60)
        for found, pair in zip(explanation.supporting, pairs, strict=True):
            assert pair.test.sum() == pytest.approx(found.attribution, rel=1e-3)
