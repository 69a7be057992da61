"""Figures as downloads: the answer of the routes for PNG, SVG and PDF, and the entries of the menu of exports."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from fastapi import Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from xda.decision import Decision
from xda.present.canvas import Canvas
from xda.present.figure_files import FORMATS, KINDS, Kind
from xda.web.http.conditional import REVALIDATE
from xda.web.pages.chrome import Choice

if TYPE_CHECKING:
    from xda.explanation.run import Explainer


async def figure_response(
    request: Request, canvas: Callable[[], Canvas], headers: dict[str, str], name: str
) -> Response:
    """Draw and paint a figure off the event loop, in the format that the address ends with.

    Parameters
    ----------
    request : Request
    canvas : callable
        Draws the figure.
    headers : dict
        Of the answer.
    name : str
        Of the file, without its ending.
    """
    kind = cast(Kind, request.url.path.rpartition(".")[2])
    content = await run_in_threadpool(lambda: FORMATS[kind].paint(canvas()))
    headers = headers | attachment(f"{name}.{kind}") | {"Cache-Control": REVALIDATE}
    return Response(content, headers=headers, media_type=FORMATS[kind].media_type)


def attachment(name: str) -> dict[str, str]:
    """Return the header that makes a browser keep an answer as a file."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}


def attachment_name(explainer: Explainer, asked: Decision) -> str:
    """Return the name of a decision's file, without its ending."""
    contrast = "" if asked.against is None else f"-not-{asked.against}"
    return f"{explainer.id}-test-{asked.test}-why-{asked.target}{contrast}-c{asked.c:g}"


def figure_choices(address: Callable[[str], str]) -> tuple[Choice, ...]:
    """Return the figure's formats for the menu of exports; ``address`` gives the address of one."""
    return tuple(Choice(kind.upper(), address(kind), note=FORMATS[kind].note) for kind in KINDS)
