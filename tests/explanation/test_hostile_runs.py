"""Forged runs beside a good one: each is refused or served without heat-maps, and the good one is always served.

A process of its own, with capped memory and without network, opens each.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from tests.explanation.hostile import adopt, forge, name_factory, open_elsewhere
from tests.world import RUN_ID
from xda.errors import RunError, XdaError
from xda.explanation.catalog import Catalog
from xda.runs.foreign_errors import contained, described
from xda.storage.run import layout

pytestmark = pytest.mark.slow

MOST_BYTES = 3 << 29
"""Limit of a process's resident memory; PyTorch takes most of it, and a refused run would take far more."""

RAISED = {
    "exits": "raise SystemExit(0)",
    "interrupts": "raise KeyboardInterrupt",
    "no_memory": "raise MemoryError",
    "recursion": "def call(): call()\ncall()",
    "own_kind": "class Own(BaseException): pass\nraise Own('no exception')",
    "no_words": "class Own(Exception):\n    def __str__(self): raise SystemExit(3)\nraise Own",
    "exits_when_called": "def network(**_): raise SystemExit(0)",
    "exits_in_forward": (
        "import torch\nclass network(torch.nn.Module):\n"
        "    def __init__(self, n_classes=0):\n        super().__init__()\n"
        "        self.fc = torch.nn.Linear(4, 10)\n    def state_dict(self, *_, **__): raise SystemExit(0)"
    ),
}


def test_open_with_code_that_raises_serves_the_others(run_path: Path, tmp_path: Path) -> None:
    modules = tmp_path / "modules"
    modules.mkdir()
    for name, content in RAISED.items():
        (modules / f"{name}.py").write_text(content)
    evil = [name_factory(run_path, tmp_path / name.replace("_", "-"), f"{name}:network") for name in RAISED]
    opened = open_elsewhere(*evil, run_path, allowed=list(RAISED), modules=modules)
    assert opened["refused"] == {}
    assert opened["served"].pop(RUN_ID) == ""
    assert len(opened["served"]) == len(RAISED)
    for name, sentence in opened["served"].items():
        assert "network cannot be made" in sentence, name
    assert "SystemExit: 0" in opened["served"]["exits"]
    assert "KeyboardInterrupt" in opened["served"]["interrupts"]
    assert "SystemExit: 3" in opened["served"]["no-words"]


def test_open_factory_not_allowed_imports_nothing(run_path: Path, tmp_path: Path) -> None:
    modules = tmp_path / "modules"
    modules.mkdir()
    mark = tmp_path / "imported"
    (modules / "writing.py").write_text(f"open({str(mark)!r}, 'w').close()")
    evil = [
        name_factory(run_path, tmp_path / f"run-{number}", name)
        for number, name in enumerate(("writing:network", "writing.deeper:network", "this:zen", "antigravity:fly"))
    ]
    opened = open_elsewhere(*evil, run_path, allowed=["writ", "writing_too"], modules=modules)
    assert not mark.exists()
    assert opened["served"].pop(RUN_ID) == ""
    for sentence in opened["served"].values():
        assert "runs only where you name its module: add `--allow-factory " in sentence
    open_elsewhere(evil[0], allowed=["writing"], modules=modules)
    assert mark.exists()


URL = "http://127.0.0.1:9/weights.pth"
REQUESTS: dict[str, dict[str, Any]] = {
    "timm-url": {"timm": "resnet18", "arguments": {"pretrained_cfg": {"url": URL}}},
    "timm-pretrained": {"timm": "resnet18", "arguments": {"pretrained": True}},
    "timm-overlay": {"timm": "resnet18", "arguments": {"pretrained_cfg_overlay": {"url": URL}}},
    "timm-checkpoint": {"timm": "resnet18", "arguments": {"checkpoint_path": URL}},
    "timm-hub": {"timm": "hf-hub:timm/resnet18.a1_in1k"},
    "timm-hub-tag": {"timm": "resnet18.hf-hub:timm/resnet18"},
    "timm-folder": {"timm": "local-dir:/etc"},
    "torchvision-weights": {"torchvision": "resnet18", "arguments": {"weights": "DEFAULT"}},
    "torchvision-backbone": {"torchvision": "resnet18", "arguments": {"weights_backbone": "DEFAULT"}},
    "factory-timm": {"factory": "timm:create_model", "arguments": {"model_name": "resnet18", "pretrained": True}},
    "factory-url": {
        "factory": "timm:create_model",
        "arguments": {"model_name": "resnet18", "pretrained_cfg": {"url": URL}},
    },
    "factory-hub": {"factory": "torch.hub:load", "arguments": {"repo_or_dir": "a/b", "model": "c"}},
    "factory-url-hub": {"factory": "torch.hub:load_state_dict_from_url", "arguments": {"url": URL}},
    "factory-torchvision": {
        "factory": "torchvision.models:get_model",
        "arguments": {"name": "resnet18", "weights": "DEFAULT"},
    },
}


def test_open_argument_reaching_the_network_is_not_passed(run_path: Path, tmp_path: Path) -> None:
    evil = []
    for name, spec in REQUESTS.items():
        document = {"n_classes": 10} | spec

        def change(manifest: dict[str, Any], name: str = name, document: dict[str, Any] = document) -> None:
            manifest["id"] = name
            manifest["network"]["spec"] = document

        evil.append(forge(run_path, tmp_path / name, change))
    # even where the operator trusts these packages
    opened = open_elsewhere(*evil, run_path, allowed=["timm", "torch", "torchvision"])
    assert opened["served"].pop(RUN_ID) == ""
    assert opened["served"].keys() == REQUESTS.keys()
    for name, sentence in opened["served"].items():
        assert "network cannot be made" in sentence, name
        assert "a request was made" not in sentence, name


def manifest_with(**changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        for path, value in changes.items():
            *parents, last = path.split("__")
            place = document
            for parent in parents:
                place = place[parent]
            place[last] = value

    return change


LARGE: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "classes": (manifest_with(network__spec__n_classes=30_000_000), "30,000,000 classes, but the run names 10"),
    "size": (manifest_with(network__preprocessing__size=[30_000, 30_000]), "30000 x 30000 is too large"),
    "long-size": (manifest_with(network__preprocessing__size=[1, 10**9]), "1 x 1000000000 is too large"),
    "resize": (manifest_with(network__preprocessing__resize=10**9), "resizes to 1000000000 pixels"),
    "names": (manifest_with(classes=[str(k) for k in range(100_001)]), "'classes'"),
}


def test_open_manifest_of_huge_sizes_is_refused_before_allocation(run_path: Path, tmp_path: Path) -> None:
    evil = [forge(run_path, tmp_path / name, change) for name, (change, _) in LARGE.items()]
    opened = open_elsewhere(*evil, run_path)
    assert list(opened["served"]) == [RUN_ID]
    assert opened["refused"].keys() == LARGE.keys()
    for name, (_, words) in LARGE.items():
        assert words in opened["refused"][name]
    assert opened["peak"] < MOST_BYTES


def test_open_network_larger_than_its_weights_is_refused_before_allocation(run_path: Path, tmp_path: Path) -> None:
    specs: dict[str, dict[str, Any]] = {
        "wide": {"torchvision": "resnet50", "arguments": {"width_per_group": 100_000}},
        "deep": {"timm": "resnet50", "arguments": {"base_width": 100_000}},
        "plain": {"torchvision": "vgg16"},
    }
    evil = []
    for name, spec in specs.items():

        def change(manifest: dict[str, Any], name: str = name, spec: dict[str, Any] = spec) -> None:
            manifest["id"] = name
            manifest["network"]["spec"] = {"n_classes": 10} | spec

        evil.append(forge(run_path, tmp_path / name, change))
    opened = open_elsewhere(*evil, run_path)
    assert opened["served"].pop(RUN_ID) == ""
    for name in specs:
        assert "far more than the weights" in opened["served"][name]
    assert opened["peak"] < MOST_BYTES


def with_table(run: Path, table: pa.Table, name: str = "train.parquet") -> Path:
    pq.write_table(table, run / name, compression="zstd")
    return adopt(run, name)


def test_open_table_that_unfolds_is_refused_before_reading(run_path: Path, tmp_path: Path) -> None:
    labels = pq.read_table(run_path / "train.parquet")
    long = pa.DictionaryArray.from_arrays(np.zeros(600, np.int32), ["x" * 400_000])
    evil = {
        "text": (labels.set_column(0, "label", long), "column 'label' is of the type string, where integer is needed"),
        "float": (labels.set_column(0, "label", pa.array(np.zeros(600))), "of the type double, where integer"),
        "rows": (pa.concat_tables([labels] * 3), "has 1800 rows, but the manifest says 600 images"),
        "null": (labels.set_column(0, "label", pa.array([None] * 600, pa.int64())), "rows without a value"),
        "none": (labels.drop_columns(["label"]), "has no column 'label'"),
        "nested": (labels.set_column(0, "label", pa.array([[1]] * 600)), "of the type list"),
        "range": (labels.set_column(0, "label", pa.array([10] * 600)), "values from 10 to 10 under 'label'"),
    }
    runs = [with_table(forge(run_path, tmp_path / name), table) for name, (table, _) in evil.items()]
    harmless = forge(run_path, tmp_path / "harmless", manifest_with(id="harmless"))
    with_table(harmless, labels.append_column("note", long))
    opened = open_elsewhere(*runs, harmless, run_path)
    assert sorted(opened["served"]) == [RUN_ID, "harmless"]
    assert opened["refused"].keys() == evil.keys()
    for name, (_, words) in evil.items():
        assert words in opened["refused"][name]
    assert opened["peak"] < MOST_BYTES


def test_info_with_long_names_of_left_out_images_is_refused(
    run_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from xda.cli import main

    long = pa.DictionaryArray.from_arrays(np.zeros(9_000, np.int32), ["x" * 400_000])
    copy = forge(run_path, tmp_path / "run", manifest_with(dataset__left_out={"train": 9_000, "test": 0}))
    document = json.loads((copy / "manifest.json").read_bytes())
    document["files"]["left_out.parquet"] = {"sha256": "0" * 64, "bytes": 0}
    (copy / "manifest.json").write_text(json.dumps(document))
    with_table(copy, pa.table({"split": ["train"] * 9_000, "name": long, "reason": ["y"] * 9_000}), "left_out.parquet")
    assert main(["info", str(copy)]) == 2
    assert "'name' has a text of 400,000 bytes" in capsys.readouterr().err


def replace_array(run: Path, name: str, change: Callable[[NDArray[Any]], None]) -> Path:
    array = np.load(run / name)
    change(array)
    np.save(run / name, array)
    return adopt(run, name)


def put(place: int, value: int) -> Callable[[NDArray[Any]], None]:
    def change(array: NDArray[Any]) -> None:
        array[place] = value

    return change


def test_open_indices_out_of_range_are_refused(run_path: Path, tmp_path: Path) -> None:
    evil: dict[str, tuple[str, Callable[[NDArray[Any]], None]]] = {
        "class": (layout.surrogate(1e-2, layout.DUAL_INDICES), put(0, 2**31 - 1)),
        "negative": (layout.surrogate(1e-2, layout.DUAL_INDICES), put(0, -5)),
        "rows": (layout.surrogate(1e-2, layout.DUAL_INDPTR), put(1, 10**9)),
        "support": (layout.surrogate(1e-2, layout.SUPPORT), put(-1, 10**9)),
        "before": (layout.surrogate(1e-2, layout.SUPPORT), put(0, -600)),
        "entries": (layout.index(1e-2, "indptr_supporting"), put(1, 10**9)),
    }
    runs = [replace_array(forge(run_path, tmp_path / case), name, change) for case, (name, change) in evil.items()]
    catalog = Catalog.open_paths([*runs, run_path], "cpu")
    try:
        assert list(catalog.runs) == [RUN_ID]
        assert catalog.refused.keys() == evil.keys()
        for reason in catalog.refused.values():
            assert "the surrogate of C = 0.01 is damaged" in reason
    finally:
        catalog.close()


def test_contained_interrupt_passes_unchanged() -> None:
    with pytest.raises(KeyboardInterrupt), contained(RunError):
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(RunError, match="KeyboardInterrupt"), contained(RunError):
        raise KeyboardInterrupt
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_contained_product_error_passes_unchanged() -> None:
    error = XdaError("as it is")
    with pytest.raises(XdaError) as caught, contained(RunError):
        raise error
    assert caught.value is error


def test_contained_long_error_text_is_cut() -> None:
    assert len(described(ValueError("word " * 10**6))) < 400
    assert described(ValueError()) == "ValueError"
    assert sys.exc_info() == (None, None, None)
