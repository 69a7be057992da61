"""Routes of the gallery: the page under its filter, and the jump to a number."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from xda.explanation.gallery import GalleryFilter
from xda.explanation.run import Explainer
from xda.web.pages.gallery.routes import router


def test_gallery_has_two_routes() -> None:
    assert [getattr(route, "path", "") for route in router.routes] == ["/r/{run}", "/r/{run}/go"]


def test_gallery_shows_the_images_of_its_filter(client: TestClient, explainer: Explainer) -> None:
    page = client.get("/r/digits?label=4&sort=margin").text
    shown = explainer.gallery(GalleryFilter(label=4), order="margin").items
    assert "12 of 120 test images" in page
    places = [page.index(f'href="/r/digits/test/{item.index}?') for item in shown]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("query", "status", "location"),
    [
        ("test=14", 303, "/r/digits/test/14"),
        ("test=%2314&label=4&c=0.01", 303, "/r/digits/test/14?c=0.01&label=4"),
        ("test=1e3", 422, ""),
        ("test=", 422, ""),
        ("", 422, ""),
    ],
)
def test_go_redirects_to_a_number(client: TestClient, query: str, status: int, location: str) -> None:
    answer = client.get(f"/r/digits/go?{query}")
    assert (answer.status_code, answer.headers.get("location", "")) == (status, location)
