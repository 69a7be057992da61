"""The error page."""

from __future__ import annotations

from dataclasses import dataclass

from xda.web.pages.chrome import Chrome


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """What happened and what to do, without a trace of the program's inside."""

    chrome: Chrome
    status: int
    title: str
    detail: str
    request_id: str
    retry_after: int | None
    """Seconds after which trying again makes sense; None where it does not."""
