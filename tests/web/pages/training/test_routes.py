"""Route of a training image's page: under the asked surrogate, whose other C are links."""

from __future__ import annotations

from starlette.testclient import TestClient

from xda import numerals
from xda.explanation.run import Explainer
from xda.web.pages.training.routes import INFLUENCES, router


def test_training_page_shows_the_sample_under_the_asked_c(client: TestClient, explainer: Explainer) -> None:
    assert [getattr(route, "path", "") for route in router.routes] == ["/r/{run}/train/{train}"]
    pages = {}
    for c in explainer.c_values:
        sample = explainer.training_sample(4, c=c, limit=INFLUENCES)
        pages[c] = client.get(f"/r/digits/train/4?c={c:g}").text
        for influence in (*sample.supports, *sample.opposes):
            assert f"/r/digits/test/{influence.test}/train/4" in pages[c]
            assert numerals.signed(influence.attribution) in pages[c]
        for other in explainer.c_values:
            assert f'href="/r/digits/train/4?c={other:g}"' in pages[c]
    assert len(set(pages.values())) == len(explainer.c_values)


def test_training_image_or_c_that_is_not_there_is_404(client: TestClient) -> None:
    for path in ("/r/digits/train/600", "/r/digits/train/-1", "/r/digits/train/4?c=7", "/r/other/train/4"):
        assert client.get(path).status_code == 404, path
