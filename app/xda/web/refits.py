"""Refits asked for on pages: one at a time, off the event loop, each kept once it is there."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING

from xda.errors import BusyError
from xda.settings import Settings

if TYPE_CHECKING:
    from xda.decision import Decision
    from xda.explanation.refit import MeasuredRemoval
    from xda.explanation.run import Explainer

MOST_WAITING = 8
"""Refits that wait or run; further ones are refused."""
KEPT = 256
"""Results kept; a few hundred bytes each."""

Key = tuple[str, "Decision", tuple[int, ...]]


class Refits:
    """Measures removals (``Explainer.measured_removal``) for all pages of a process."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="refit")
        self._known: OrderedDict[Key, Future[MeasuredRemoval]] = OrderedDict()
        self._lock = Lock()

    def ask(self, explainer: Explainer, decision: Decision, removed: tuple[int, ...]) -> Future[MeasuredRemoval]:
        """Return the result of a refit, at hand or to come.

        Raises
        ------
        BusyError
            Too many refits wait.
        """
        key = explainer.digest, decision, removed
        with self._lock:
            known = self._known.get(key)
            if known is not None and not (known.cancelled() or (known.done() and known.exception() is not None)):
                self._known.move_to_end(key)
                return known
            if sum(not each.done() for each in self._known.values()) >= MOST_WAITING:
                raise BusyError("Other refits wait before this one; ask again in a moment.")
            found = self._executor.submit(explainer.measured_removal, decision, removed)
            self._known[key] = found
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
            return found

    async def measured(
        self, explainer: Explainer, decision: Decision, removed: tuple[int, ...], settings: Settings
    ) -> MeasuredRemoval:
        """Wait for a refit.

        Raises
        ------
        BusyError
            It is not ready within ``wait_seconds``, or too many wait. A late result is kept for the next request.
        """
        future = asyncio.wrap_future(self.ask(explainer, decision, removed))
        try:
            return await asyncio.wait_for(asyncio.shield(future), settings.wait_seconds)
        except TimeoutError:
            raise BusyError(
                f"The refit was not ready within {settings.wait_seconds:g} s. It goes on and its result is kept; ask "
                "again in a moment."
            ) from None

    def close(self) -> None:
        """Cancel the refits that have not begun."""
        self._executor.shutdown(wait=False, cancel_futures=True)
