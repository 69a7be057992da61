"""Shared views: which run a link opens, and the tags for chat programs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from starlette.requests import Request

from xda.explanation.catalog import Catalog
from xda.explanation.run import Explainer
from xda.settings import Settings
from xda.storage.database.links import Link
from xda.web.api.links import LinkRequest
from xda.web.pages.explanation.routes import told
from xda.web.pages.shared import open_graph, served, view_of
from xda.web.view import View


@pytest.fixture
def link(explainer: Explainer) -> Link:
    return Link("abcdefgh", datetime(2026, 1, 2, tzinfo=UTC), "digits", explainer.digest, {}, {})


def test_view_of_a_link_has_its_state() -> None:
    state = LinkRequest(run="digits", test=14, target=4, against=9, c=0.01, show=12, scale="page", opacity=40)
    assert view_of(state) == View(c=0.01, target=4, against=9, shown=12, scale="page", opacity=40)


def test_link_opens_the_unchanged_run_only(catalog: Catalog, explainer: Explainer, link: Link) -> None:
    assert served(catalog, link) == (explainer, "")
    assert served(catalog, replace(link, run_digest="0" * 64)) == (
        explainer,
        "The run was rebuilt after sharing; this is a copy of the shared page.",
    )
    gone = served(catalog, replace(link, run_id="other"))
    assert gone == (None, "The run is no longer served; this is a copy of the shared page.")


def test_open_graph_tags_name_question_and_card_unless_switched_off(explainer: Explainer) -> None:
    request = Request({"type": "http", "path": "/", "query_string": b"", "headers": [], "server": ("host", 80)})
    story = told(explainer, 14, View(target=4, against=9))
    settings = Settings(public_url="https://xda.example")
    tags = open_graph(request, settings, story, "abcdefgh")
    assert tags is not None
    assert tags.title == "Why 4 and not 9? Test image 14"
    assert tags.url == "https://xda.example/s/abcdefgh"
    assert tags.image == f"{tags.url}/card.png"
    assert open_graph(request, settings.model_copy(update={"social_cards": False}), story, "abcdefgh") is None
