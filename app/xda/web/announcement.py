"""Watches a starting server and calls back when its first page answers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException

PAUSE_SECONDS = 0.2
"""Seconds between two requests."""
TIMEOUT_SECONDS = 10.0
"""Longest wait for one answer, in seconds."""

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
"""Local address of a server that listens on all addresses of its machine."""


def announce(host: str, port: int, answers: Callable[[], None]) -> threading.Thread:
    """Watch a starting server from a daemon thread.

    Parameters
    ----------
    host, port : str, int
        Address of the server on its own machine.
    answers : callable
        Called once, when a page answers. If no page ever does, the server's log explains it.

    Returns
    -------
    threading.Thread
        The running thread.
    """

    def watch() -> None:
        seen = ""
        while True:
            status, reason = _ask(host, port, "/readyz")
            if reason != seen:
                # Without the link database the server is not ready, but its pages work.
                seen, status = reason, _ask(host, port, "/")[0]
            if status == 200:
                answers()
                return
            time.sleep(PAUSE_SECONDS)

    thread = threading.Thread(target=watch, name="xda-announcement", daemon=True)
    thread.start()
    return thread


def _ask(host: str, port: int, path: str) -> tuple[int, str]:
    """Return the status of an answer and the detail of its problem; 0 and an empty text without an answer."""
    connection = HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, "" if answer.status == 200 else str(json.loads(body)["detail"])
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return 0, ""
    finally:
        connection.close()
