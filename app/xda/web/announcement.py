"""Waiting for a server that is starting, so that its address is told once a page answers there and not before."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException

PAUSE_SECONDS = 0.2
"""Between two questions."""
TIMEOUT_SECONDS = 10.0
"""Longest wait for one answer."""

EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
"""Where a server that listens on all addresses of its machine is reached from that machine."""


def announce(host: str, port: int, answers: Callable[[], None]) -> threading.Thread:
    """Watch a server that is starting from a thread of its own, which ends with the process.

    Parameters
    ----------
    host, port : str, int
        Where the server is reached from its own machine.
    answers : callable
        Called once, when pages are answered; never where they never are, which the server's log explains.

    Returns
    -------
    threading.Thread
        It is running.
    """

    def watch() -> None:
        seen = ""
        while True:
            status, reason = _ask(host, port, "/readyz")
            if reason != seen:
                # Without the database of links a server is not ready, but its pages are there.
                seen, status = reason, _ask(host, port, "/")[0]
            if status == 200:
                answers()
                return
            time.sleep(PAUSE_SECONDS)

    thread = threading.Thread(target=watch, name="xda-announcement", daemon=True)
    thread.start()
    return thread


def _ask(host: str, port: int, path: str) -> tuple[int, str]:
    """Return the status of an answer and the detail of its problem; 0 and nothing where nobody answers."""
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
