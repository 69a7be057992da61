"""The factory makes everything that an application holds; routes only use it."""

from __future__ import annotations

from tests.web.conftest import MakeClient
from xda.explanation.run import Explainer
from xda.settings import Settings
from xda.web.factory import create_app
from xda.web.media import PageScales


def test_routes_of_every_cache_add_nothing_to_the_application(make_client: MakeClient, explainer: Explainer) -> None:
    client = make_client()
    state = client.app.state  # type: ignore[attr-defined]
    made = dict(vars(state)["_state"])
    part = explainer.explain(14).supporting[0]
    heatmap = f"/media/{explainer.digest[:16]}/relevance/c0.01/14-{part.index}-4/test.png?scale=page"
    for path in ("/", "/help", heatmap, f"/api/v1/runs/{explainer.id}/test/14/explanation", "/metrics"):
        assert client.get(path).status_code == 200, path
    assert vars(state)["_state"] == made
    assert len(state.page_scales._known) == 1


def test_create_app_twice_shares_no_cache() -> None:
    first, second = (create_app(Settings(device="cpu")) for _ in range(2))
    assert isinstance(first.state.page_scales, PageScales)
    assert first.state.page_scales is not second.state.page_scales
    assert first.state.answers is not second.state.answers
