"""Tests of tests.sweeps."""

from __future__ import annotations

import pytest

from tests import sweeps


def test_drawn_by_default_is_the_same_tenth_at_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "WHOLE", False)
    cases = list(range(200))
    some = sweeps.drawn(cases, 1)
    assert len(some) == 20
    assert some == sorted(set(some)) == sweeps.drawn(cases, 1) != sweeps.drawn(cases, 2)


def test_drawn_with_families_reaches_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "WHOLE", False)
    cases = [(family, k) for family in "abc" for k in range(7)]
    assert [family for family, _ in sweeps.drawn(cases, 1, family=lambda case: case[0])] == ["a", "b", "c"]


def test_drawn_of_a_whole_sweep_is_every_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "WHOLE", True)
    assert sweeps.drawn(range(50), 1) == list(range(50))
