"""Tests of xda.data.known.registry; the data set that the how-to page adds is registered by its steps alone."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from xda import cli
from xda.data import known
from xda.data.known import registry
from xda.errors import ConfigError, DataError
from xda.progress import silent

ACROSS = np.array([[0] * 8, [255] * 8] * 4)
DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture
def _stripes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Write the module of the how-to page's first step beside the others."""
    page = (DOCS / "how-to" / "add-a-data-set.md").read_text(encoding="utf-8")
    (module,) = re.findall(r"```python\n(.*?)```", page, re.S)
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "stripes.py").write_text(textwrap.dedent(module))
    registry.known_datasets()  # registers the real data sets first, in the dictionary that stays
    monkeypatch.setattr(registry, "_registered", registry._registered.copy())
    monkeypatch.setattr(known, "__path__", [*known.__path__, str(tmp_path / "modules")])
    yield
    sys.modules.pop("xda.data.known.stripes", None)


@pytest.mark.usefixtures("_stripes")
def test_data_set_added_by_the_how_to_page_is_fetched_loaded_and_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError, match="run `xda data stripes`"):
        registry.load("stripes", tmp_path / "data")
    assert cli.main(["data", "Stripes", "--home", str(tmp_path)]) == 0
    dataset = registry.load("stripes", tmp_path / "data")
    assert dataset.classes == ("across", "down")
    pixels = dataset.train.source.pixels(np.arange(2))
    assert pixels is not None
    np.testing.assert_array_equal(pixels, [ACROSS, ACROSS.T])
    assert dataset.train.fingerprint != dataset.test.fingerprint
    with pytest.raises(SystemExit):
        cli.main(["data", "--help"])
    assert re.search(r"^  stripes +Stripes$", capsys.readouterr().out, re.M)
    with pytest.raises(ConfigError, match="stripes"):
        registry.fetch("spots", tmp_path, silent)


def test_help_of_xda_data_lists_every_registered_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["data", "--help"])
    listed = re.findall(r"^  (\S+) +(\S.*)$", capsys.readouterr().out.split("names:\n")[1], re.M)
    assert listed == [(each.name, each.title) for each in registry.known_datasets().values()]


def test_reference_has_exactly_the_registered_data_sets() -> None:
    page = (DOCS / "reference" / "data.md").read_text(encoding="utf-8")
    section = page.split("## Data sets by name")[1].split("\n## ")[0]
    rows = [f"| `{each.name}` | {each.title} | {each.sources} |" for each in registry.known_datasets().values()]
    assert re.findall(r"^\| `.*$", section, re.M) == rows


def test_second_data_set_of_one_name_is_refused() -> None:
    first = registry.known_datasets()["mnist"]
    copy = registry.KnownDataset("M-NIST", first.title, first.sources, first.fetch, first.load)
    with pytest.raises(ValueError, match="two data sets are called 'M-NIST'"):
        registry.register(copy)
    assert registry.known_datasets()["mnist"] is first


def test_listing_the_data_sets_imports_neither_torch_nor_torchvision() -> None:
    code = (
        "import sys; from xda.data.known.registry import known_datasets; print(len(known_datasets()));"
        "print({'torch', 'torchvision'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == [str(len(registry.known_datasets())), "set()"]
