"""``kill -9`` at every moment of a build: there is always a whole run or none, and the next build finishes the work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[3]
SCENARIOS = ("fresh", "rebuild", "rebuild-without-exchange")


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """Run all scenarios beside each other, since they mostly wait."""
    started = {
        scenario: subprocess.Popen(
            [sys.executable, "-m", "tests.storage.run.crash_driver", tmp_path_factory.mktemp(scenario), scenario],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
        )
        for scenario in SCENARIOS
    }
    outputs = {scenario: process.communicate(timeout=240)[0] for scenario, process in started.items()}
    assert {process.returncode for process in started.values()} == {0}
    return {scenario: json.loads(output) for scenario, output in outputs.items()}


@pytest.mark.parametrize(("scenario", "moments"), [("fresh", 60), ("rebuild", 20), ("rebuild-without-exchange", 20)])
def test_build_killed_at_any_moment_leaves_whole_run(
    reports: dict[str, dict[str, object]], scenario: str, moments: int
) -> None:
    report = reports[scenario]
    assert report["failures"] == []
    assert isinstance(report["kills"], int)
    assert report["kills"] >= moments


def test_build_after_kill_skips_finished_stages(reports: dict[str, dict[str, object]]) -> None:
    assert reports["fresh"]["skipped_stages"] != 0
    assert reports["rebuild"]["skipped_stages"] != 0


def test_build_after_kill_continues_half_filled_arrays(reports: dict[str, dict[str, object]]) -> None:
    resumed = reports["fresh"]["resumed"]
    assert isinstance(resumed, int)
    # for every batch except a split's last: the moments between its mark and the mark of the next batch
    assert resumed >= 6
