"""Structured logs: one JSON object a line on stderr, one line a request, each with the id of its request.

Nothing is configured at import time; the process that serves calls :func:`configure` once.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

request_id: ContextVar[str] = ContextVar("xda_request_id", default="")
"""Id of the request that is being answered; threads started for it inherit the value."""

access_logger = logging.getLogger("xda.access")

BATCH_SECONDS = 0.1
"""Longest time a line about a request waits to be written together with others."""


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object; the ``fields`` of a record (``extra={"fields": {...}}``) are its members."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without the newline at its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "fields", ()))
        if "request_id" not in line and (identifier := request_id.get()):
            line["request_id"] = identifier
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class BatchHandler(logging.Handler):
    """Writes the lines of a tenth of a second at once; writing each on its own costs as much as a short answer.

    Outside an event loop a line is written at once. What still waits is written when the process ends.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._waiting: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record for the next batch."""
        self._waiting.append(record)
        if len(self._waiting) == 1:
            try:
                asyncio.get_running_loop().call_later(BATCH_SECONDS, self.flush)
            except RuntimeError:
                self.flush()

    def flush(self) -> None:
        """Write what waits."""
        self.acquire()
        try:
            waiting, self._waiting = self._waiting, []
            if waiting:
                self._stream.write("".join(f"{self.format(record)}\n" for record in waiting))
                self._stream.flush()
        finally:
            self.release()


def log_request(fields: Mapping[str, Any], level: int = logging.INFO) -> None:
    """Log one answered request.

    The record is made here, since ``Logger.info`` looks through the stack for its caller on every line.
    """
    if access_logger.isEnabledFor(level):
        record = logging.LogRecord(access_logger.name, level, "", 0, "request", None, None)
        record.fields = fields
        access_logger.handle(record)


def configure(level: str) -> None:
    """Send all logs of this process to stderr as JSON lines.

    Parameters
    ----------
    level : str
        ``debug``, ``info``, ``warning`` or ``error``.
    """
    # Looked up for every record and in none of these lines.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    batched = BatchHandler(sys.stderr)
    for each in (handler, batched):
        each.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    access_logger.handlers = [batched]
    access_logger.propagate = False
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of every plugin it has
    if level != "debug":
        # Where the server listens is told by `xda serve`, once it answers there.
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    # The access lines of this application say the same and more.
    logging.getLogger("uvicorn.access").disabled = True
