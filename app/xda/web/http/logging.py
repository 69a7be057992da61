"""Structured logs on stderr: one JSON object per line, one line per request, each with the request's id.

Nothing is configured at import time; the serving process calls :func:`configure` once.
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
"""Id of the present request; threads started for it inherit the value."""

access_logger = logging.getLogger("xda.access")

BATCH_SECONDS = 0.1
"""Longest time that a request's line waits for others, to be written together."""


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object, with the record's ``fields`` (``extra={"fields": {...}}``) as members."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without a newline."""
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
    """Writes the lines of a tenth of a second together, since writing one costs as much as a short answer.

    Outside of an event loop it writes each line immediately. The end of the process writes all waiting lines.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._waiting: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Add a record to the next batch."""
        self._waiting.append(record)
        if len(self._waiting) == 1:
            try:
                asyncio.get_running_loop().call_later(BATCH_SECONDS, self.flush)
            except RuntimeError:
                self.flush()

    def flush(self) -> None:
        """Write the waiting lines."""
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

    It makes the record itself, since ``Logger.info`` searches the stack for its caller on every line.
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
    # Python looks these up for every record, but no line shows them.
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
    logging.getLogger("alembic").setLevel(logging.WARNING)  # Alembic logs every plugin at this level.
    if level != "debug":
        # `xda serve` prints the address when the server answers there.
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    # This application's own access lines say more.
    logging.getLogger("uvicorn.access").disabled = True
