"""The progress of a fit never goes back and ends with the last C."""

from __future__ import annotations

from xda.surrogate.fit_progress import STAGE, gap_progress


def test_gap_progress_rising_gap_never_falls() -> None:
    told: list[tuple[str, int, int]] = []
    report = gap_progress(lambda *now: told.append(now), (1e-3, 1e-1), 1e-4)
    for sweeps, gap in [(1, 1.0), (2, 1e-2), (3, 1e-1), (4, 1e-4), (1, 1.0), (2, 1e-6)]:
        report(sweeps, gap)
    assert {(stage, total) for stage, _, total in told} == {(STAGE, 100)}
    assert [done for _, done, _ in told] == [0, 25, 25, 49, 50, 99]


def test_gap_progress_more_restarts_than_cs_stay_in_last_c() -> None:
    told: list[int] = []
    report = gap_progress(lambda _, done, __: told.append(done), (1e-3,), 1e-4)
    for sweeps in (3, 2, 1):
        report(sweeps, 1e-5)
    assert told == [99, 99, 99]
