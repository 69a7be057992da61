"""The Python blocks of the reference run unchanged, each section's in one namespace.

The configurations in README and reference pass the build's reader.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch.utils.data import TensorDataset

from tests.explanation.notebooks import NamedDataset, make_model, make_tensors
from tests.world import World
from xda.attribution.results import Explanation
from xda.build.config import load_config
from xda.explanation.run import Explainer
from xda.storage.run.layout import features

ROOT = Path(__file__).parents[1]
PYTHON = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")


def blocks(title: str) -> list[str]:
    """Return the Python blocks of a section."""
    section = re.split(r"^## ", PYTHON, flags=re.M)
    (body,) = (part for part in section if part.startswith(f"{title}\n"))
    return re.findall(r"^```python\n(.*?)^```", body, re.M | re.S)


def run(source: str, namespace: dict[str, Any]) -> Any:
    """Execute a block as a cell; return the value of its last line where that is an expression, as a notebook does."""
    lines = source.rstrip().splitlines()
    try:
        last = compile(lines[-1], "python.md", "eval")
    except SyntaxError:
        last = None
    exec(compile("\n".join(lines if last is None else lines[:-1]), "python.md", "exec"), namespace)
    return None if last is None else eval(last, namespace)


@pytest.fixture
def reader(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what a reader has: a model, its data, and a run folder where the reference says."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mnist-cnn").symlink_to(world.run)
    monkeypatch.chdir(tmp_path)
    images, labels = make_tensors(world.dataset.test)
    return {
        "model": make_model(world),
        "train_set": NamedDataset(*make_tensors(world.dataset.train), world.dataset.classes),
        "test_set": TensorDataset(images, labels),
        "images": images[:8],
    }


def test_readme_run_example_works(reader: dict[str, Any], explainer: Explainer) -> None:
    reader["features"] = np.asarray(explainer.run.array(features("train")))
    reader["labels"] = reader["train_set"].tensors[1].numpy()
    (block,) = blocks("A run")
    _, support, certificate = run(block, reader)
    assert len(reader["pairs"]) == len(reader["explanation"].supporting) > 0
    assert len(support)
    assert certificate.converged
    assert reader["without"].certificate_.converged
    assert not np.isin([3, 7], reader["without"].support_).any()


@pytest.mark.slow
def test_readme_notebook_example_works(reader: dict[str, Any], world: World, tmp_path: Path) -> None:
    attributing, seeing = blocks("A model in a notebook")
    run(attributing, reader)
    first: Explanation = reader["first"]
    assert first.sum_supporting + first.sum_opposing == pytest.approx(first.surrogate_logit, rel=1e-9)
    told = re.search(r"The table has the columns (.*?)\. ", PYTHON, re.S)
    assert told
    assert list(reader["table"].columns) == re.findall(r"`(\w+)`", told[1])
    sums = reader["table"].groupby("test")["attribution"].sum()
    np.testing.assert_allclose(sums, [e.surrogate_logit for e in reader["explanations"]], rtol=1e-9)
    np.testing.assert_allclose(reader["matrix"].sum(axis=1), sums, rtol=1e-9)
    assert len(set(reader["suspects"].tolist()) & set(world.mislabelled.tolist())) >= len(world.mislabelled) - 2

    shown = run(seeing, reader)
    assert isinstance(shown, Figure)
    shown.draw_without_rendering()
    pair = reader["pair"]
    assert pair.test.sum() == pytest.approx(pair.attribution, rel=1e-3)
    assert pair.train.sum() == pytest.approx(pair.attribution, rel=1e-3)
    assert reader["own_map"].shape == pair.test.shape == tuple(reader["images"].shape[2:])

    (opening,) = blocks("One protocol for both")
    run(opening, reader)
    assert reader["every_share"]["share"].sum() == pytest.approx(1)
    assert (tmp_path / "why.png").stat().st_size > 10_000


def test_readme_quanda_example_works(reader: dict[str, Any]) -> None:
    reader["targets"] = torch.argmax(reader["model"].eval()(reader["images"]), 1)
    with warnings.catch_warnings(action="ignore"):
        pytest.importorskip("quanda", reason="the extra quanda is not installed")
        score = run("import xda\n" + blocks("DualDA in quanda")[-1], reader)
    assert score > 0.7


@pytest.mark.parametrize("page", ["README.md", "docs/reference/commands.md"])
def test_configuration_of_a_page_is_read(page: str, tmp_path: Path) -> None:
    written = re.findall(r"^```toml\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.M | re.S)
    assert len(written) == 1
    (tmp_path / "mine.toml").write_text(written[0], encoding="utf-8")
    config = load_config(tmp_path / "mine.toml")
    assert config.run.id in {"animals", "mnist-cnn"}
    assert config.surrogate.c
