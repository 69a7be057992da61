"""The HTTP benchmark names a missing run folder instead of failing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.benchmarks import bench_browser, bench_http, bench_lighthouse


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


def test_bench_browser_skips_missing_run_folders_with_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench_browser"])
    monkeypatch.chdir(tmp_path)
    assert bench_browser.main() == 2
    skipped = capsys.readouterr().err.splitlines()
    assert [line.split(" at ")[1] for line in skipped] == [
        f"runs/{word}; it is skipped." for word in bench_browser.MAPS
    ]


def test_bench_browser_finds_run_folders_by_their_beginning(tmp_path: Path) -> None:
    for name in ("mnist-cnn", "mnist-other", "clothing", "zoo"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").touch()
    (tmp_path / "cifar10-broken").mkdir()
    found = [path.name for path in bench_browser.default_runs(tmp_path)]
    assert found == ["mnist-cnn", "mnist-other", "cifar10", "clothing"]


def test_bench_browser_line_names_the_verdict() -> None:
    assert bench_browser.line("key", 61, 60).endswith("61 ms   <=    60 ms   MISSED")
    assert bench_browser.line("key", 60, 60).endswith("60 ms   <=    60 ms   met")
    assert bench_browser.line("key", 60).endswith("60 ms")
