"""Refits: one result for one question, a bounded line in front, a late one kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from threading import Event
from types import SimpleNamespace
from typing import Any, cast

import pytest

from xda.decision import Decision
from xda.errors import BusyError
from xda.explanation.run import Explainer
from xda.settings import Settings
from xda.web.refits import MOST_WAITING, Refits

DECISION = Decision(0, 1.0, 1)


@pytest.fixture
def refits() -> Iterator[Refits]:
    made = Refits()
    yield made
    made.close()


class Slow:
    """Stands in for a run; its refits wait for a signal."""

    digest = "0" * 64

    def __init__(self) -> None:
        self.go, self.calls = Event(), 0

    def measured_removal(self, decision: Decision, removed: tuple[int, ...]) -> Any:
        self.calls += 1
        assert self.go.wait(20)
        return SimpleNamespace(decision=decision, removed=removed)

    @property
    def as_run(self) -> Explainer:
        return cast(Explainer, self)


def test_refit_asked_twice_is_computed_once(refits: Refits) -> None:
    slow = Slow()
    first = refits.ask(slow.as_run, DECISION, (3, 7))
    assert refits.ask(slow.as_run, DECISION, (3, 7)) is first
    slow.go.set()
    assert cast(Any, first.result(20)).removed == (3, 7)
    assert refits.ask(slow.as_run, DECISION, (3, 7)) is first
    assert slow.calls == 1


def test_refits_beyond_the_line_are_refused(refits: Refits) -> None:
    slow = Slow()
    waiting: list[Future[Any]] = [refits.ask(slow.as_run, DECISION, (k,)) for k in range(MOST_WAITING)]
    with pytest.raises(BusyError, match="Other refits wait"):
        refits.ask(slow.as_run, DECISION, (99,))
    slow.go.set()
    assert [each.result(20).removed for each in waiting] == [(k,) for k in range(MOST_WAITING)]


def test_late_refit_is_kept_for_the_next_request(refits: Refits) -> None:
    slow = Slow()

    async def twice() -> tuple[int, ...]:
        with pytest.raises(BusyError, match="its result is kept"):
            await refits.measured(slow.as_run, DECISION, (5,), Settings(wait_seconds=0.1))
        slow.go.set()
        return (await refits.measured(slow.as_run, DECISION, (5,), Settings(wait_seconds=20))).removed

    assert asyncio.run(twice()) == (5,)
    assert slow.calls == 1


def test_failed_refit_is_tried_again(refits: Refits) -> None:
    class Failing(Slow):
        def measured_removal(self, decision: Decision, removed: tuple[int, ...]) -> Any:
            self.calls += 1
            raise ValueError("no")

    failing = Failing()
    for _ in range(2):
        assert isinstance(refits.ask(failing.as_run, DECISION, (1,)).exception(20), ValueError)
    assert failing.calls == 2
