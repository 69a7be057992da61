"""Waiting for the device without blocking the event loop, and not for ever."""

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
        Withdrawn when its result does not come in time.
    settings : Settings
        ``wait_seconds`` is the longest wait.

    Raises
    ------
    BusyError
        The result did not come in time.
    """
    try:
        return await asyncio.wait_for(asyncio.wrap_future(future), settings.wait_seconds)
    except TimeoutError:
        raise BusyError(
            f"The heat-maps were not ready within {settings.wait_seconds:g} s, others wait before them; "
            "try again in a moment.",
            retry_after=max(1, round(settings.wait_seconds / 4)),
        ) from None
