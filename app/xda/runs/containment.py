"""Whatever the code or the files of one run raise stays an error of that run.

A run's factory, and the modules of its network, are other people's code: they may call ``sys.exit``, raise what is not
even an ``Exception``, or raise an error whose text cannot be had. Only a real Ctrl-C is nobody's error.
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
"""Characters of an error's text that are passed on."""


def described(error: BaseException) -> str:
    """Return the kind of an error and the beginning of what it says, even where asking it fails."""
    try:
        words = " ".join(str(error)[: 4 * _MOST_SAID].split())[:_MOST_SAID]
    except BaseException:
        words = ""
    return f"{type(error).__name__}: {words.rstrip('.')}" if words else type(error).__name__


@contextmanager
def contained(refuse: Callable[[str], XdaError]) -> Iterator[None]:
    """Turn whatever is raised in the block into an error of the product; those of the product and a Ctrl-C pass.

    Parameters
    ----------
    refuse : callable
        Makes the error from the description of what was raised.

    Raises
    ------
    XdaError
        What the block raised, or what ``refuse`` made of it.
    KeyboardInterrupt
        Somebody pressed Ctrl-C; one that the block raised by itself is refused as everything else.
    """
    with _noticed_interrupts() as interrupts:
        try:
            yield
        except XdaError:
            raise
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and interrupts:
                raise
            logger.info("what was refused", exc_info=error)
            raise refuse(described(error)) from error


@contextmanager
def _noticed_interrupts() -> Iterator[list[int]]:
    """Yield a list that is no longer empty once a Ctrl-C has come; one only ever comes to the main thread."""
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
