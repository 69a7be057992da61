"""The first phase: sweeps raise the dual, surveys prove a gap, rows are skipped only where they are decided."""

# ruff: noqa: N806 - X is the name of the field
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.reference import crammer_singer as reference
from tests.surrogate.problems import overlapping
from xda.surrogate import solve
from xda.surrogate.ascent import Ascent, Samples
from xda.surrogate.threads import Threads

C = 0.05


def ascent(included: Any = None, **options: Any) -> Ascent:
    X, y = overlapping(120, 6, 4)
    included = np.ones(120, dtype=np.bool_) if included is None else included
    samples = Samples(X, y, included, options.pop("augment", False), Threads())
    return Ascent(samples, 4, C, np.random.default_rng(0), options.pop("progress", None))


def test_sweeps_close_the_gap_that_a_survey_proves() -> None:
    told: list[tuple[int, float]] = []
    running = ascent(progress=lambda sweeps, gap: told.append((sweeps, gap)))
    running.begin()
    gaps = [running.survey()]
    for _ in range(60):
        running.advance(20)
        gaps.append(running.survey())
    assert gaps[-1] < 1e-3 < gaps[0]
    assert told == running.history
    assert [gap for _, gap in told] == gaps
    X, y = overlapping(120, 6, 4)
    running.refresh()
    assert reference.primal(X, y, running.coef, C) == pytest.approx(running.primal, rel=1e-6)
    bound = reference.dual(X, y, running.dual, C)
    assert (running.primal - bound) / running.primal == pytest.approx(running.gap, rel=1e-2)


def test_samples_that_are_left_out_stay_without_weight_or_slack() -> None:
    included = np.arange(120) % 5 != 0
    running = ascent(included)
    running.begin()
    running.survey()
    running.advance(20)
    running.survey()
    assert not running.dual[~included].any()
    assert running.dual[included].any()
    assert not running.slack[~included].any()
    assert np.isinf(running.distance[~included]).all()
    assert not np.isin(running.active(), np.flatnonzero(~included)).any()


def test_restart_scales_rows_into_the_bounds_and_up_to_the_best() -> None:
    X, y = overlapping(120, 6, 4)
    solution = solve(X, y, C, n_classes=4)
    for share in (0.1, 3.0):
        running = ascent()
        running.restart(solution.support, share * solution.dual_rows)
        own = running.own()
        assert 0.0 <= own.min() <= own.max() <= C * (1 + 1e-12)
        np.testing.assert_allclose(running.coef, running.dual.T @ X, atol=1e-12)
        np.testing.assert_allclose(running.dual.sum(axis=1), 0.0, atol=1e-15)
    running = ascent()
    running.restart(solution.support, solution.dual_rows)
    assert running.survey() < 1e-5


def test_decided_rows_are_zero_at_the_optimum() -> None:
    X, y = overlapping(120, 6, 4)
    solution = solve(X, y, C, n_classes=4)
    running = ascent()
    running.begin()
    assert running.survey() > 1e-3
    assert not running.decided()
    for _ in range(30):
        running.advance(20)
        running.survey()
        skipped = np.setdiff1d(np.arange(120), running.active())
        radius = np.sqrt(2.0 * max(0.0, running.gap) * running.primal)
        far = running.distance > np.sqrt(2.0 * running.samples.norms) * radius + 1e-5
        assert not np.isin(np.flatnonzero(far & (running.own() == 0.0)), solution.support).any()
    assert len(skipped) > 0


def test_constant_column_widens_the_samples() -> None:
    assert (ascent().samples.width, ascent(augment=True).samples.width) == (6, 7)
    X, _ = overlapping(120, 6, 4)
    rows = np.array([3, 1])
    np.testing.assert_allclose(ascent(augment=True).samples.read(rows), np.column_stack([X[rows], [1.0, 1.0]]))
    np.testing.assert_allclose(ascent(augment=True).samples.norms, (X**2).sum(axis=1) + 1.0)
