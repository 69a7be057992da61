"""Structured logs: one JSON object a line, one line a request."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from starlette.testclient import TestClient

from xda.web.http.logging import BatchHandler, JsonFormatter, access_logger, configure, log_request, request_id


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """The log of requests."""
    stream = io.StringIO()
    handler = BatchHandler(stream)
    handler.setFormatter(JsonFormatter())
    access_logger.addHandler(handler)
    level = access_logger.level
    access_logger.setLevel(logging.INFO)
    yield stream
    access_logger.removeHandler(handler)
    access_logger.setLevel(level)
    handler.close()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in stream.getvalue().splitlines()]


def test_log_has_one_line_per_request(client: TestClient, stream: io.StringIO) -> None:
    client.get("/version?a=%0Ab", headers={"X-Request-ID": "one"})
    client.get("/healthz")  # asked every few seconds, and not told
    client.get("/nothing", headers={"X-Request-ID": "two"})
    for handler in access_logger.handlers:
        handler.flush()
    first, second = lines(stream)
    assert first["request_id"] == "one"
    assert (first["method"], first["path"], first["query"], first["route"]) == ("GET", "/version", "a=%0Ab", "/version")
    assert (first["status"], first["level"]) == (200, "info")
    assert 0 < first["ms"] < 10_000
    assert (second["request_id"], second["status"], second["route"]) == ("two", 404, "unmatched")


def test_log_line_cannot_be_forged_by_path(client: TestClient, stream: io.StringIO) -> None:
    client.get("/a%0A%7B%22level%22:%22error%22%7D")
    for handler in access_logger.handlers:
        handler.flush()
    (line,) = lines(stream)
    assert line["path"] == '/a\n{"level":"error"}'


def test_log_lines_are_written_together(stream: io.StringIO) -> None:
    async def ask() -> None:
        for number in range(3):
            log_request({"number": number})
        assert stream.getvalue() == ""
        await asyncio.sleep(0.2)

    asyncio.run(ask())
    assert [line["number"] for line in lines(stream)] == [0, 1, 2]


def test_log_without_event_loop_writes_at_once(stream: io.StringIO) -> None:
    log_request({"number": 7})
    assert lines(stream)[0]["number"] == 7


def test_formatter_includes_request_and_exception() -> None:
    token = request_id.set("abc")
    try:
        raise ValueError("what went wrong")
    except ValueError:
        record = logging.getLogger("x").makeRecord("x", logging.ERROR, "f", 1, "failed %s", ("here",), None)
        import sys

        record.exc_info = sys.exc_info()
        line = orjson.loads(JsonFormatter().format(record))
    finally:
        request_id.reset(token)
    assert (line["request_id"], line["message"], line["level"]) == ("abc", "failed here", "error")
    assert "ValueError: what went wrong" in line["exception"]


def test_configure_writes_json_lines_to_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    before = (root.handlers[:], root.level, access_logger.handlers[:], access_logger.propagate)
    flags = ("logThreads", "logProcesses", "logMultiprocessing")
    for flag in flags:
        monkeypatch.setattr(logging, flag, getattr(logging, flag))
    root.handlers = []
    try:
        configure("info")
        logging.getLogger("xda.test").info("hello")
        logging.getLogger("xda.test").debug("not this")
        log_request({"status": 200})
    finally:
        root.handlers[:], access_logger.handlers[:] = before[0], before[2]
        root.setLevel(before[1])
        access_logger.propagate = before[3]
        logging.getLogger("uvicorn.access").disabled = False
    written = [orjson.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["logger"] for line in written] == ["xda.test", "xda.access"]
