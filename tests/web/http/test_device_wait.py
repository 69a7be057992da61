"""A future of the device is awaited for the configured time, then cancelled."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import pytest

from xda.errors import BusyError
from xda.settings import Settings
from xda.web.http.device_wait import finished


def test_finished_future_gives_its_result() -> None:
    future: Future[int] = Future()
    future.set_result(7)
    assert asyncio.run(finished(future, Settings())) == 7


def test_failed_future_raises_its_own_error() -> None:
    future: Future[int] = Future()
    future.set_exception(ValueError("of the device"))
    with pytest.raises(ValueError, match="of the device"):
        asyncio.run(finished(future, Settings()))


def test_late_future_is_cancelled_and_busy() -> None:
    future: Future[int] = Future()
    with pytest.raises(BusyError, match=r"not ready within 0\.01 s") as caught:
        asyncio.run(finished(future, Settings(wait_seconds=0.01)))
    assert caught.value.retry_after == 1
    assert future.cancelled()
