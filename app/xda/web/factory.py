"""Builds the web application; nothing happens at import time.

Tests and embedding programs call ``create_app``; each uvicorn worker calls ``create_app_from_env``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache, partial
from multiprocessing import parent_process
from typing import TYPE_CHECKING

from anyio import CapacityLimiter
from fastapi import APIRouter, FastAPI
from fastapi.concurrency import run_in_threadpool
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware

from xda.settings import Settings, resource_dir
from xda.version import __version__
from xda.web import media
from xda.web.api import comparison_route, links, monitoring, runs
from xda.web.http import logging as web_logging
from xda.web.http import openapi, problems
from xda.web.http.answer_cache import AnswerCache
from xda.web.http.conditional import NotModifiedError, answer_not_modified
from xda.web.http.metrics import Metrics
from xda.web.http.middleware import HostsMiddleware, LimitsMiddleware, PrefixMiddleware, RequestMiddleware
from xda.web.http.static_files import HashedStaticFiles
from xda.web.lifecycle import Lifecycle, end_process
from xda.web.media import PageScales
from xda.web.pages import help as help_page
from xda.web.pages import shared
from xda.web.pages.comparison import routes as comparison_page
from xda.web.pages.error import render_error
from xda.web.pages.explanation import routes as explanation_page
from xda.web.pages.gallery import routes as gallery_page
from xda.web.pages.pair import routes as pair_page
from xda.web.pages.runs import routes as runs_page
from xda.web.pages.training import routes as training_page
from xda.web.refits import Refits

if TYPE_CHECKING:
    from xda.explanation.catalog import Catalog

DESCRIPTION = (
    "Which training images made an image classifier decide as it did, and where in both images the reason lies. "
    "Every error is an RFC 9457 problem. Answers carry an ETag: send it back as If-None-Match."
)

SHARES_AT_ONCE = 4
"""So many links are made at the same time; others wait."""
GZIP_LEVEL = 4
"""A page of 50 KB becomes 9 KB in half a millisecond; level 9 takes twice as long for 5 % less."""
NOT_COMPRESSED = (*DEFAULT_EXCLUDED_CONTENT_TYPES, "application/x-npz")
"""Media types whose content is compressed already."""
ROUTERS: tuple[APIRouter, ...] = (
    runs.direct,
    runs.router,
    comparison_route.router,
    links.router,
    monitoring.router,
    runs_page.router,
    help_page.router,
    gallery_page.router,
    explanation_page.router,
    comparison_page.router,
    pair_page.router,
    training_page.router,
    shared.router,
    media.router,
)
"""All routers of the application, in matching order."""


def create_app(settings: Settings, catalog: Catalog | None = None) -> FastAPI:
    """Build the application; once started, it opens the runs and the link database in the background.

    Parameters
    ----------
    settings : Settings
        Settings of the process.
    catalog : Catalog, optional
        Open runs to serve; ``None`` opens those of the settings.
    """
    lifecycle = Lifecycle(settings, catalog)
    metrics = Metrics(lifecycle)
    refits = Refits()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        lifecycle.start()
        if parent_process() is not None:
            # Several workers share an address: ready ones answer for the others.
            await run_in_threadpool(lifecycle.wait_for_runs)
        try:
            yield
        finally:
            refits.close()
            lifecycle.close()

    app = FastAPI(
        title="DualXDA Explorer",
        description=DESCRIPTION,
        version=__version__,
        lifespan=lifespan,
        openapi_url="/api/v1/openapi.json",
        # FastAPI's pages load scripts from a CDN, which fails offline and under this Content-Security-Policy.
        docs_url=None,
        redoc_url=None,
    )
    app.state.lifecycle = lifecycle
    app.state.metrics = metrics
    app.state.answers = AnswerCache()
    app.state.page_scales = PageScales()
    app.state.refits = refits
    app.state.error_page = render_error
    app.state.share_limiter = CapacityLimiter(SHARES_AT_ONCE)
    problems.install(app)
    app.add_exception_handler(NotModifiedError, answer_not_modified)
    for router in ROUTERS:
        # include_router would wrap each route, so that every request is matched twice.
        app.router.routes.extend(router.routes)
    app.mount("/static", HashedStaticFiles(resource_dir("static")), name="static")
    # The last added middleware is the outermost.
    app.add_middleware(GZipMiddleware, compresslevel=GZIP_LEVEL, exclude_content_types=NOT_COMPRESSED)
    app.add_middleware(HostsMiddleware, hosts=settings.hosts)
    app.add_middleware(PrefixMiddleware, root_path=settings.root_path)
    app.add_middleware(LimitsMiddleware, max_body=settings.max_body_bytes)
    app.add_middleware(RequestMiddleware, metrics=metrics)
    app.openapi = cache(partial(openapi.describe, app, settings.max_page))  # type: ignore[method-assign]
    return app


def create_app_from_env() -> FastAPI:
    """Build the application from the environment and set up logging, for uvicorn's workers."""
    settings = Settings()
    web_logging.configure(settings.log_level)
    return create_app(settings)


def create_served_app() -> FastAPI:
    """Build the application for ``xda serve``: the process ends if no run can be served."""
    app = create_app_from_env()
    lifecycle: Lifecycle = app.state.lifecycle
    lifecycle.when_nothing_is_served = end_process
    return app
