"""Confines errors of one run's code or files to that run.

A run's factory and network modules are other people's code: they may call ``sys.exit``, raise a ``BaseException``, or
raise an error whose ``str`` fails. Only a real Ctrl-C passes through.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from xda.errors import XdaError

logger = logging.getLogger(__name__)

_MOST_SAID = 300
"""A description keeps at most so many characters of an error's text."""


def described(error: BaseException) -> str:
    """Return the type of an error and the beginning of its text, even if its ``str`` fails."""
    try:
        words = " ".join(str(error)[: 4 * _MOST_SAID].split())[:_MOST_SAID]
    except BaseException:
        words = ""
    return f"{type(error).__name__}: {words.rstrip('.')}" if words else type(error).__name__


@contextmanager
def contained(refuse: Callable[[str], XdaError]) -> Iterator[None]:
    """Turn every foreign exception in the block into an ``XdaError``; an ``XdaError`` and a Ctrl-C pass unchanged.

    Parameters
    ----------
    refuse : callable
        Makes the error from the description of the exception.

    Raises
    ------
    XdaError
        The block raised it, or ``refuse`` made it.
    KeyboardInterrupt
        Somebody pressed Ctrl-C. If the block itself raised it, it is refused like every other exception.
    """
    with _noticed_interrupts() as interrupts:
        try:
            yield
        except XdaError:
            raise
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and interrupts:
                raise
            logger.info("a run was refused because of this error", exc_info=error)
            raise refuse(described(error)) from error


@contextmanager
def _noticed_interrupts() -> Iterator[list[int]]:
    """Yield a list that gets an entry at each Ctrl-C; only the main thread receives one."""
    seen: list[int] = []
    previous = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(previous):
        yield seen
        return

    def note(number: int, frame: FrameType | None) -> object:
        seen.append(number)
        return previous(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, previous)
