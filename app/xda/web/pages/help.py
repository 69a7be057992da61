"""The help page, the same for every run."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response

from xda.web.pages.chrome import Chrome
from xda.web.rendering import render

DESCRIPTION = "How DualXDA attributes a decision to training images, and what every number means."

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class HelpPage:
    """The method in one page; all of its text is in the template."""

    chrome: Chrome


@router.get("/help")
async def get_help(request: Request) -> Response:
    """Explain the method and every number."""
    return render(request, "pages/help.html", HelpPage(Chrome("Help", None, DESCRIPTION)))
