"""The benchmark in a browser measures steps as they are; no time is asserted but the order of its parts."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.benchmarks import bench_browser
from tests.conftest import Served


@pytest.mark.parametrize("ahead", [False, True])
def test_walk_measures_every_step_in_order(
    chromium: Browser, served_world: Served, monkeypatch: pytest.MonkeyPatch, *, ahead: bool
) -> None:
    monkeypatch.setattr(bench_browser, "STEPS", 3)
    monkeypatch.setattr(bench_browser, "UNCOUNTED", 1)
    steps, fetched = bench_browser.walk(chromium, served_world.url, served_world.run_id, 2, ahead=ahead)
    assert len(steps) == 3
    assert fetched >= 0
    for step in steps:
        assert 0 < step.content <= step.maps
        assert step.arrived <= step.maps
        assert step.page < step.content
