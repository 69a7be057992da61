"""Structured logs: one JSON object a line on stderr, one line a request, each with the id of its request.

Nothing is configured at import time; the process that serves calls :func:`configure` once.
"""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import orjson

request_id: ContextVar[str] = ContextVar("xda_request_id", default="")
"""Id of the request that is being answered; threads started for it inherit the value."""

access_logger = logging.getLogger("xda.access")


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


def configure(level: str) -> None:
    """Send all logs of this process to stderr as JSON lines.

    Parameters
    ----------
    level
        ``debug``, ``info``, ``warning`` or ``error``.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    # Its lines would say again what the access line of this application says.
    logging.getLogger("uvicorn.access").disabled = True
