"""The factory makes everything that an application holds; routes only use it."""

from __future__ import annotations

from fastapi.testclient import TestClient

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


def test_text_is_compressed_for_clients_that_accept_it_pictures_never(client: TestClient, explainer: Explainer) -> None:
    page, sheet = f"/r/{explainer.id}/test/14", "/static/css/tokens.css"
    image = f"/media/{explainer.digest[:16]}/test/14"
    for address in (page, sheet, image):
        plain = client.get(address, headers={"Accept-Encoding": "identity"})
        packed = client.get(address, headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in plain.headers
        assert packed.content == plain.content
        if address == image:
            assert "content-encoding" not in packed.headers
            continue
        assert packed.headers["content-encoding"] == "gzip"
        assert "Accept-Encoding" in packed.headers["vary"]
        assert int(packed.headers["content-length"]) < len(plain.content) / 2
        assert client.head(address, headers={"Accept-Encoding": "gzip"}).headers["content-encoding"] == "gzip"


def test_compressed_answer_is_revalidated_by_its_tag(client: TestClient, explainer: Explainer) -> None:
    address = f"/api/v1/runs/{explainer.id}/test/14/explanation"
    tag = client.get(address, headers={"Accept-Encoding": "gzip"}).headers["etag"]
    again = client.get(address, headers={"Accept-Encoding": "gzip", "If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
