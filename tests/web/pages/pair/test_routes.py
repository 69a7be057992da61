"""Route of a pair: its facts, its addresses of maps, and what there is no pair for."""

from __future__ import annotations

import html
import re

import pytest
from starlette.testclient import TestClient

from xda import numerals
from xda.explanation.run import Explainer
from xda.web.pages.pair.routes import asked_pair, router
from xda.web.view import View


@pytest.mark.parametrize(("target", "against"), [(None, None), (4, 9), (9, None)])
def test_asked_pair_has_the_attribution_of_its_decision(
    explainer: Explainer, target: int | None, against: int | None
) -> None:
    found = explainer.explain(14, target=target, against=against, limit=1).supporting[0]
    pair, told = asked_pair(explainer, 14, found.index, View(target=target, against=against))
    assert pair.train == found.index
    assert pair.attribution == pytest.approx(found.attribution)
    assert (told.target, told.against) == (4 if target is None else target, against)


def test_pair_page_shows_its_attribution_and_both_images(client: TestClient, explainer: Explainer) -> None:
    base = "/r/{run}/test/{test}/train/{train}"
    figures = {f"{base}/pair.{kind}" for kind in ("png", "svg", "pdf")}
    assert {getattr(route, "path", "") for route in router.routes} == {base, *figures}
    part = explainer.explain(14, limit=1).opposing[0]
    page = client.get(f"/r/digits/test/14/train/{part.index}").text
    assert numerals.signed(part.attribution) in page
    for split, index in (("test", 14), ("train", part.index)):
        assert f"/media/{explainer.digest[:16]}/{split}/{index}" in page


def test_pair_exports_are_the_figure_of_the_pair(client: TestClient, explainer: Explainer) -> None:
    train = explainer.explain(14, limit=1).opposing[0].index
    page = client.get(f"/r/digits/test/14/train/{train}?target=4&against=9").text
    menu = re.findall(r'<li><a href="([^"]*/pair\.(\w+)[^"]*)" download>', page)
    assert [kind for _, kind in menu] == ["png", "svg", "pdf"]
    starts = {"png": b"\x89PNG", "svg": b"<svg", "pdf": b"%PDF-"}
    for address, kind in menu:
        answer = client.get(html.unescape(address))
        assert answer.content.startswith(starts[kind])
        assert answer.headers["content-disposition"].endswith(f'-test-14-why-4-not-9-c0.01-train-{train}.{kind}"')
        again = client.get(html.unescape(address), headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304
        if kind == "svg":
            assert f"Test image 14 and training image {train}" in answer.text


def test_pair_of_an_image_that_is_not_there_is_404(client: TestClient) -> None:
    base = "/r/digits/test"
    for path in ("120/train/0", "0/train/600", "0/train/x", "0/train/600/pair.svg", "0/train/5/pair.gif"):
        assert client.get(f"{base}/{path}").status_code == 404, path
