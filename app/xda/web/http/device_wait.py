"""Waits for a result of the device, for a limited time and without blocking the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import TypeVar

from xda.errors import BusyError
from xda.settings import Settings

T = TypeVar("T")


async def finished(future: Future[T], settings: Settings) -> T:
    """Return the result of a future.

    Parameters
    ----------
    future : Future
        Cancelled if its result is late.
    settings : Settings
        ``wait_seconds`` is the longest wait.

    Raises
    ------
    BusyError
        The result is late.
    """
    try:
        return await asyncio.wait_for(asyncio.wrap_future(future), settings.wait_seconds)
    except TimeoutError:
        raise BusyError(
            f"The heat-maps were not ready within {settings.wait_seconds:g} s, others wait before them; "
            "try again in a moment.",
            retry_after=max(1, round(settings.wait_seconds / 4)),
        ) from None
