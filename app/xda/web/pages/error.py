"""The error page, for any request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import Request
from fastapi.responses import Response

from xda.web.dependencies import Visit
from xda.web.pages.chrome import Chrome, RunHeader, run_header
from xda.web.rendering import render
from xda.web.urls import with_query

if TYPE_CHECKING:
    from xda.web.http.problems import Problem


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """The problem and the advice, without internals of the program."""

    chrome: Chrome
    status: int
    title: str
    detail: str
    request_id: str
    retry_after: int | None
    """Seconds until a useful retry; None if a retry cannot help."""


def _run_of(request: Request) -> RunHeader | None:
    """Return the header of the run in the address, if it is served, so that an error page has its navigation."""
    catalog = request.app.state.lifecycle.open_catalog
    explainer = None if catalog is None else catalog.runs.get(request.path_params.get("run", ""))
    if explainer is None:
        return None
    visit, query = Visit(request, catalog, explainer), dict(request.query_params)
    urls = visit.urls
    path = urls.root + request.scope["path"].removeprefix(urls.root)

    def with_c(value: float) -> str:
        return with_query(path, {**query, "c": f"{value:g}"})

    return run_header(visit, with_c=with_c)


def render_error(request: Request, problem: Problem) -> Response:
    """Render an error as a page of the same design (the application's ``error_page``)."""
    retry = problem.headers.get("Retry-After", "")
    page = ErrorPage(
        chrome=Chrome(problem.title, _run_of(request), problem.detail),
        status=problem.status,
        title=problem.title,
        detail=problem.detail,
        request_id=problem.request_id,
        retry_after=int(retry) if retry.isdigit() else None,
    )
    return render(request, "pages/error.html", page, status=problem.status)
