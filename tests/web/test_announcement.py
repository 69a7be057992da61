"""A server is announced once, when a page of its answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from xda.web import announcement
from xda.web.announcement import announce


class Answers(BaseHTTPRequestHandler):
    """Answers each path by its next status."""

    statuses: dict[str, list[int]]
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        waiting = self.statuses[self.path]
        status = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        body = json.dumps({"detail": f"{self.path} is not ready"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPServer]:
    monkeypatch.setattr(announcement, "PAUSE_SECONDS", 0.01)
    Answers.asked = []
    with HTTPServer(("127.0.0.1", 0), Answers) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


def announced(port: int) -> int:
    calls: list[int] = []
    thread = announce("127.0.0.1", port, lambda: calls.append(1))
    thread.join(10)
    assert not thread.is_alive()
    return len(calls)


def test_ready_server_is_announced_once(server: HTTPServer) -> None:
    Answers.statuses = {"/readyz": [200]}
    assert announced(server.server_port) == 1
    assert Answers.asked == ["/readyz"]


def test_loading_server_is_announced_when_it_is_ready(server: HTTPServer) -> None:
    Answers.statuses = {"/readyz": [503, 503, 503, 200], "/": [503, 200]}
    assert announced(server.server_port) == 1
    assert Answers.asked == ["/readyz", "/", "/readyz", "/readyz", "/readyz", "/"]


def test_unready_server_whose_pages_answer_is_announced(server: HTTPServer) -> None:
    Answers.statuses = {"/readyz": [503], "/": [200]}
    assert announced(server.server_port) == 1
    assert Answers.asked == ["/readyz", "/"]


def test_ask_without_server_gives_no_status() -> None:
    with HTTPServer(("127.0.0.1", 0), Answers) as listening:
        port = listening.server_port
    assert announcement._ask("127.0.0.1", port, "/readyz") == (0, "")
