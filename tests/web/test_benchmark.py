"""The HTTP benchmark names a missing run folder instead of failing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.benchmarks import bench_http, bench_lighthouse


def test_bench_http_without_run_folder_exits_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench_http", str(tmp_path / "none")])
    assert bench_http.main() == 2
    assert "xda demo" in capsys.readouterr().err


def test_folder_bytes_counts_nested_files(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "file").write_bytes(b"x" * 1000)
    assert bench_http.folder_bytes(tmp_path) == 1000


@pytest.mark.parametrize(
    ("accessibility", "performance", "missed"), [(100, 95, []), (99, 95, ["accessibility"]), (100, 94, ["performance"])]
)
def test_lighthouse_score_below_target_is_missed(accessibility: int, performance: int, missed: list[str]) -> None:
    scores = {"performance": performance, "accessibility": accessibility, "best-practices": 100, "seo": 95}
    assert bench_lighthouse.Scores("/", "mobile", scores, {}, []).missed == missed


def test_bench_lighthouse_without_run_folder_exits_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench_lighthouse", str(tmp_path / "none")])
    assert bench_lighthouse.main() == 2
    assert "no run folder at" in capsys.readouterr().err
