"""Downloads that a spreadsheet opens: text stays text, numbers stay numbers."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.web.conftest import MakeClient
from xda.explanation.catalog import Catalog
from xda.explanation.device_queue import DeviceQueue
from xda.explanation.run import Explainer
from xda.web.http.csv_table import Cell, cell, csv_table

FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "-", "+", "=", "-1e", "+1,2"]
PLAIN = ["cat", "", "a=b", "-1", "+2.5", "-1e-3", "0", "'quoted", "minus −1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_cell_formula_becomes_text(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("text", PLAIN)
def test_cell_plain_text_is_unchanged(text: str) -> None:
    assert cell(text) == text


@pytest.mark.parametrize(
    ("value", "written"), [(-1, "-1"), (-0.1, "-0.1"), (-1e-300, "-1e-300"), (True, "true"), (None, "")]
)
def test_cell_numbers_stay_numbers(value: Cell, written: str) -> None:
    assert csv_table(["a", "b"], [[value, 0]]) == f"a,b\r\n{written},0\r\n"


@pytest.fixture(scope="module")
def hostile(run_path: Path, tmp_path_factory: pytest.TempPathFactory, make_client: MakeClient) -> Iterator[TestClient]:
    """A client of a run whose classes are named like formulas."""
    folder = tmp_path_factory.mktemp("hostile") / "run"
    shutil.copytree(run_path, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["classes"] = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "-4", "five", "six", "seven", "-8", "+9"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    queue = DeviceQueue()
    with Explainer.open(folder, device="cpu") as explainer:
        yield make_client(Catalog([explainer], {}, queue))
    queue.close()


@pytest.mark.parametrize("table", ["explanation", "comparison"])
def test_csv_download_has_no_formula_and_exact_numbers(hostile: TestClient, explainer: Explainer, table: str) -> None:
    rows = list(csv.DictReader(io.StringIO(hostile.get(f"/r/digits/test/3/{table}.csv").text)))
    names = {row[key] for row in rows for key in row if key.startswith("label_name")}
    assert {"'=1+1", "'+1+1", "'-1+1", "'@SUM(A1)", "five"} <= names
    assert names <= {"'=1+1", "'+1+1", "'-1+1", "'@SUM(A1)", "-4", "five", "six", "seven", "-8", "+9"}
    for row in rows:
        for key, value in row.items():
            assert not value.startswith(("=", "@", "\t", "\r")), f"{key}: {value}"
            if value.startswith(("+", "-")):
                assert math.isfinite(float(value)), f"{key}: {value}"
    exact = explainer.decompose(3).attribution.tolist()
    assert min(exact) < 0 < max(exact)
    assert {repr(value) for value in exact} <= {row[key] for row in rows for key in row if "attribution" in key}
