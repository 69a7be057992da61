"""Route of a pair: its facts, its addresses of maps, and what there is no pair for."""

from __future__ import annotations

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
    assert [getattr(route, "path", "") for route in router.routes] == ["/r/{run}/test/{test}/train/{train}"]
    part = explainer.explain(14, limit=1).opposing[0]
    page = client.get(f"/r/digits/test/14/train/{part.index}").text
    assert numerals.signed(part.attribution) in page
    for split, index in (("test", 14), ("train", part.index)):
        assert f"/media/{explainer.digest[:16]}/{split}/{index}" in page


def test_pair_of_an_image_that_is_not_there_is_404(client: TestClient) -> None:
    for path in ("/r/digits/test/120/train/0", "/r/digits/test/0/train/600", "/r/digits/test/0/train/x"):
        assert client.get(path).status_code == 404, path
