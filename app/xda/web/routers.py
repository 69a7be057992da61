"""All routers of the application, in the order in which they are tried."""

from __future__ import annotations

from fastapi import APIRouter

from xda.web import media
from xda.web.api import comparison, links, operations, runs
from xda.web.pages import lists, shared
from xda.web.pages.comparison import routes as comparison_page
from xda.web.pages.explanation import routes as explanation_page
from xda.web.pages.pair import routes as pair_page

ROUTERS: tuple[APIRouter, ...] = (
    runs.direct,
    runs.router,
    comparison.router,
    links.router,
    operations.router,
    lists.router,
    explanation_page.router,
    comparison_page.router,
    pair_page.router,
    shared.router,
    media.router,
)
