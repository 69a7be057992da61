"""Route of the list of runs."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from xda.web.dependencies import CatalogDep
from xda.web.pages.runs import context as runs_context
from xda.web.rendering import render, urls_of

router = APIRouter(include_in_schema=False)


@router.get("/")
async def get_runs(request: Request, catalog: CatalogDep) -> Response:
    """List the runs."""
    return render(request, "pages/runs.html", runs_context.build(catalog.runs, catalog.refused, urls_of(request)))
