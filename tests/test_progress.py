"""Tests of the progress bars on a terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest
from tqdm import tqdm

from xda import progress


def test_progress_remaining_time_ignores_earlier_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    bars: list[Any] = []

    def keep(**options: Any) -> Any:
        bars.append(tqdm(**options))
        return bars[-1]

    stream = io.StringIO()
    monkeypatch.setattr(progress, "tqdm", keep)
    monkeypatch.setattr("sys.stderr", stream)
    with progress.TerminalProgress() as report:
        for done in (901, 902, 903):
            report("Training", done, 1000)
        (bar,) = bars
        assert (bar.initial, bar.n) == (901, 903)
        # two steps in ten seconds: the remaining 97 take 485
        told = bar.format_meter(**{**bar.format_dict, "elapsed": 10.0, "rate": None})
    assert "Training" in told
    assert " 90% " in told
    assert "08:05 left" in told
