"""All routers of the application, in matching order."""

from __future__ import annotations

from fastapi import APIRouter

from xda.web import media
from xda.web.api import comparison, links, operations, runs
from xda.web.pages import help as help_page
from xda.web.pages import shared
from xda.web.pages.comparison import routes as comparison_page
from xda.web.pages.explanation import routes as explanation_page
from xda.web.pages.gallery import routes as gallery_page
from xda.web.pages.pair import routes as pair_page
from xda.web.pages.runs import routes as runs_page
from xda.web.pages.training import routes as training_page

ROUTERS: tuple[APIRouter, ...] = (
    runs.direct,
    runs.router,
    comparison.router,
    links.router,
    operations.router,
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
