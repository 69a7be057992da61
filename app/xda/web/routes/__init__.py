"""All routers of the application, in the order in which they are tried."""

from __future__ import annotations

from fastapi import APIRouter

from xda.web.routes import (
    api,
    api_comparison,
    links,
    media,
    ops,
    pages,
    pages_comparison,
    pages_explanation,
    pages_pair,
    pages_shared,
)

ROUTERS: tuple[APIRouter, ...] = (
    api.direct,
    api.router,
    api_comparison.router,
    links.router,
    ops.router,
    pages.router,
    pages_explanation.router,
    pages_comparison.router,
    pages_pair.router,
    pages_shared.router,
    media.router,
)
