"""All routers of the application, in the order in which they are tried."""

from __future__ import annotations

from fastapi import APIRouter

from xda.web.routes import api, links, ops

ROUTERS: tuple[APIRouter, ...] = (
    api.router,
    links.router,
    ops.router,
)
