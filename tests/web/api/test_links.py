"""Shared links: creation, opening after a restart, and unchanged pages after their run is gone or rebuilt."""

from __future__ import annotations

import io
import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from tests.web.conftest import MakeClient
from tests.world import RUN_ID
from xda.explanation.catalog import Catalog
from xda.explanation.device_queue import DeviceQueue
from xda.explanation.run import Explainer
from xda.present.signed_maps import unpack
from xda.present.snapshots import MAX_LISTED, SharedState, capture
from xda.present.story import from_snapshot, tell, to_snapshot
from xda.web.api.links import LinkRequest

BROWSER = {"Accept": "text/html"}
STATE: dict[str, Any] = {
    "run": RUN_ID,
    "test": 21,
    "target": 4,
    "against": 7,
    "c": 1e-4,
    "show": 3,
    "map": "orange-purple",
}


def share(client: TestClient, **state: Any) -> str:
    """Share a state and return the link's identifier."""
    answer = client.post("/api/v1/links", json={"run": RUN_ID, "test": 0, **state})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.fixture
def without_runs(make_client: MakeClient) -> TestClient:
    """A server with the same database whose run is gone."""
    return make_client(Catalog([], {}, DeviceQueue()))


@pytest.fixture
def rebuilt(make_client: MakeClient, explainer: Explainer, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """A server with the same database whose run has been rebuilt since the link was made."""
    client = make_client()
    monkeypatch.setattr(explainer, "digest", "f" * 64)
    return client


def test_create_link_returns_id_and_url(client: TestClient) -> None:
    answer = client.post("/api/v1/links", json=STATE)
    assert answer.status_code == 201, answer.text
    assert set(answer.json()) == {"id", "url"}
    identifier = answer.json()["id"]
    assert len(identifier) * 6 >= 64
    assert answer.json()["url"] == answer.headers["location"] == f"http://testserver/s/{identifier}"


def test_create_link_identifiers_differ(client: TestClient) -> None:
    assert len({share(client) for _ in range(5)}) == 5


def test_create_link_uses_public_url(make_client: MakeClient) -> None:
    client = make_client(public_url="https://xda.example/tools/")
    answer = client.post("/api/v1/links", json={"run": RUN_ID, "test": 0}).json()
    assert answer["url"] == f"https://xda.example/tools/s/{answer['id']}"
    assert f'content="{answer["url"]}/card.png"' in client.get(f"/s/{answer['id']}").text


def test_link_opens_after_restart(client: TestClient, make_client: MakeClient) -> None:
    identifier = share(client, **STATE)
    page = make_client().get(f"/s/{identifier}", headers=BROWSER)
    assert page.status_code == 200
    assert "Why 4 and not 7?" in page.text
    assert "copy of the shared page" not in page.text
    assert f"/media/{identifier}" not in page.text


def test_link_state_pins_defaults(client: TestClient, explainer: Explainer) -> None:
    link = client.app.state.lifecycle.links.get(share(client))  # type: ignore[attr-defined]
    assert link.run_digest == explainer.digest
    assert link.state["c"] == explainer.default_c
    assert link.state["target"] == explainer.explain(0).target


@pytest.mark.parametrize("server", ["without_runs", "rebuilt"])
def test_link_of_changed_run_shows_snapshot(
    client: TestClient, server: str, request: pytest.FixtureRequest, explainer: Explainer
) -> None:
    identifier = share(client, **STATE)
    told = explainer.explain(21, target=4, against=7, c=1e-4, limit=3)
    opened: TestClient = request.getfixturevalue(server)
    page = opened.get(f"/s/{identifier}", headers=BROWSER)
    assert page.status_code == 200
    assert "copy of the shared page" in page.text
    assert "Why 4 and not 7?" in page.text
    addresses = {part for part in page.text.split('"') if part.startswith(f"/s/{identifier}/media/")}
    for part in (*told.supporting, *told.opposing):
        lower, upper = f"map-{part.index}-difference", f"map-{part.index}-train"
        for name in (f"train-{part.index}", lower, upper, f"{lower}.i16", f"{upper}.i16"):
            assert f"/s/{identifier}/media/{name}" in addresses
    assert {f"/s/{identifier}/media/map-{group}.i16" for group in ("own", "for", "against")} <= addresses
    for address in addresses:
        answer = opened.get(address)
        assert answer.status_code == 200, address
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert opened.get(address, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
        if address.endswith(".i16"):
            assert len(answer.content) == 8 + 2 * 28 * 28
        else:
            with Image.open(io.BytesIO(answer.content)) as image:
                assert image.size == (28, 28)
    assert opened.get(f"/s/{identifier}/card.png").status_code == 200


@pytest.mark.parametrize("server", ["client", "without_runs", "rebuilt"])
def test_link_of_pair_shows_snapshot_of_changed_run(
    client: TestClient, server: str, request: pytest.FixtureRequest, explainer: Explainer
) -> None:
    train = explainer.explain(5).opposing[6].index
    identifier = share(client, test=5, train=train)
    opened: TestClient = request.getfixturevalue(server)
    page = opened.get(f"/s/{identifier}", headers=BROWSER)
    assert page.status_code == 200
    assert f"{train}" in page.text
    for side in ("train", "test", "train.i16", "test.i16"):
        assert opened.get(f"/s/{identifier}/media/map-{train}-{side}").status_code == 200


def test_stored_maps_are_those_of_the_run(client: TestClient, without_runs: TestClient, explainer: Explainer) -> None:
    for scale in ("own", "page"):
        identifier = share(client, test=14, show=3, scale=scale, map="orange-purple")
        served = client.get(f"/r/{RUN_ID}/test/14?show=3&scale={scale}&map=orange-purple").text
        stored = without_runs.get(f"/s/{identifier}", headers=BROWSER).text
        addresses = [re.findall(r'<img class="map" src="([^"]+)"', page) for page in (served, stored)]
        signed = [re.findall(r'data-map="([^"]+)"', page) for page in (served, stored)]
        assert len(addresses[0]) == len(addresses[1]) == len(signed[0]) == 3 + 2 * 6
        for first, second in zip(*signed, strict=True):
            run, link = client.get(unescape(first)).content, without_runs.get(second).content
            # batches of another size round differently
            assert np.abs(unpack(run, 28)[0] - unpack(link, 28)[0]).max() <= 1e-4 * unpack(run, 28)[1]
        for first, second in zip(*addresses, strict=True):
            layers = []
            for server, address in ((client, unescape(first)), (without_runs, second)):
                with Image.open(io.BytesIO(server.get(address).content)) as image:
                    layers.append(np.asarray(image.convert("RGBA"), dtype=int))
            assert np.abs(layers[0] - layers[1])[..., 3].max() <= 9


def test_link_of_an_earlier_version_shows_its_painted_layers(client: TestClient, explainer: Explainer) -> None:
    story = tell(explainer, explainer.decide(14), limit=1)
    told = story.explanation
    picture = io.BytesIO()
    Image.new("RGBA", (28, 28), (200, 0, 0, 120)).save(picture, "PNG")
    painted = ("image/png", picture.getvalue())
    names = ["test", "map-own", *(f"train-{j}" for j in told.listed)]
    names += [f"map-{j}-{side}" for j in told.listed for side in ("test", "train")]
    state = {"run": "gone", "test": 14, "target": told.target, "c": told.c, "show": 1}
    snapshot = {"format": 1, "story": to_snapshot(story), "pair": None}
    links = client.app.state.lifecycle.links  # type: ignore[attr-defined]
    link = links.create("gone", "0" * 64, state, snapshot, dict.fromkeys(names, painted))
    page = client.get(f"/s/{link.id}", headers=BROWSER)
    assert page.status_code == 200
    assert "<canvas" not in page.text
    assert "Bottom: pixels that matter in the test image" in page.text
    shown = re.findall(r'src="(/s/[^"]+)"', page.text)
    assert {address.rsplit("/", 1)[1] for address in shown} == set(names)
    for address in shown:
        assert client.get(address).content == painted[1]


def test_snapshot_equals_story(explainer: Explainer) -> None:
    kept = capture(explainer, SharedState(explainer.decide(3), shown=5), wait_seconds=30)
    assert from_snapshot(kept.snapshot["story"]) == kept.story == tell(explainer, explainer.decide(3), limit=5)
    assert kept.snapshot["pair"] is None


@pytest.mark.parametrize("shown", [1, 2, 500])
def test_snapshot_is_bounded(explainer: Explainer, shown: int) -> None:
    kept = capture(explainer, SharedState(explainer.decide(3), shown=shown), wait_seconds=60)
    told = kept.story.explanation
    assert len(told.supporting) <= min(shown, MAX_LISTED)
    assert {f"train-{part.index}" for part in (*told.supporting, *told.opposing)} <= set(kept.media)
    assert sum(len(content) for _, content in kept.media.values()) < 2_000_000


def test_snapshot_of_large_images_keeps_fewer(explainer: Explainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xda.present.snapshots.MAX_MEDIA_BYTES", 20_000)
    kept = capture(explainer, SharedState(explainer.decide(3), shown=40), wait_seconds=60, card=False)
    told = kept.story.explanation
    assert 0 < len(told.supporting) < 40
    assert {f"map-{part.index}-difference.i16" for part in (*told.supporting, *told.opposing)} <= set(kept.media)
    assert sum(len(content) for _, content in kept.media.values()) <= 20_000


def test_snapshot_of_pair_holds_its_facts(explainer: Explainer) -> None:
    part = explainer.explain(5, limit=9).opposing[8]
    pair = capture(explainer, SharedState(explainer.decide(5), train=part.index), wait_seconds=30).snapshot["pair"]
    assert pair["attribution"] == pytest.approx(part.attribution, rel=1e-9)
    assert pair["weight"] * pair["product"] == pytest.approx(part.attribution, rel=1e-9)
    assert (pair["label"], pair["at_bound"], pair["rank"]) == (part.label, part.at_bound, 9)
    assert pair["n_same_sign"] == explainer.explain(5).n_opposing


def test_link_of_pair_without_effect_opens(client: TestClient, explainer: Explainer) -> None:
    parts = set(explainer.decompose(5).index.tolist())
    train = next(index for index in range(explainer.n_train) if index not in parts)
    pair = capture(explainer, SharedState(explainer.decide(5), train=train), wait_seconds=30).snapshot["pair"]
    assert (pair["attribution"], pair["rank"]) == (0.0, None)
    assert client.get(f"/s/{share(client, test=5, train=train)}", headers=BROWSER).status_code == 200


@pytest.mark.parametrize("state", [{"test": 8, "show": 1}, {"test": 8, "train": 3}])
def test_card_is_png_named_by_the_page(client: TestClient, state: dict[str, int]) -> None:
    identifier = share(client, **state)
    answer = client.get(f"/s/{identifier}/card.png")
    assert answer.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == (1200, 630)
    page = client.get(f"/s/{identifier}").text
    assert f'property="og:image" content="http://testserver/s/{identifier}/card.png"' in page


def test_card_switched_off_is_404(make_client: MakeClient) -> None:
    client = make_client(social_cards=False)
    identifier = share(client)
    assert client.get(f"/s/{identifier}/card.png").status_code == 404
    page = client.get(f"/s/{identifier}")
    assert page.status_code == 200
    assert "og:" not in page.text


def test_form_is_answered_with_redirect(client: TestClient) -> None:
    answer = client.post("/api/v1/links", data={"run": RUN_ID, "test": "2", "against": "", "c": "0.0001", "show": "2"})
    assert answer.status_code == 303
    assert client.get(answer.headers["location"], headers=BROWSER).status_code == 200


def test_form_of_page_can_be_shared(client: TestClient) -> None:
    """The fields of the page's own form, hidden ones too, can be shared."""
    page = client.get(f"/r/{RUN_ID}/test/2?target=3&against=5&show=12&scale=page&opacity=40").text
    form = page.split('action="/api/v1/links"')[1].split("</form>")[0]
    inputs = [part.split(">")[0] for part in form.split("<input")[1:]]
    fields = {part.split('name="')[1].split('"')[0]: part.split('value="')[1].split('"')[0] for part in inputs}
    assert {"run", "test", "target", "against", "show", "scale", "opacity"} <= set(fields)
    assert client.post("/api/v1/links", data=fields).status_code == 303


def test_form_that_fails_is_answered_with_page(client: TestClient) -> None:
    for form, status in (({"run": "other", "test": "2"}, 404), ({"run": RUN_ID, "test": "x"}, 422)):
        answer = client.post("/api/v1/links", data=form, headers=BROWSER)
        assert answer.status_code == status
        assert answer.headers["content-type"].startswith("text/html")
    assert client.post("/api/v1/links", json={}, headers=BROWSER).headers["content-type"] == "application/problem+json"


def test_form_behind_prefix_redirects_with_prefix(make_client: MakeClient) -> None:
    client = make_client(root_path="/tools")
    answer = client.post("/api/v1/links", data={"run": RUN_ID, "test": "2"})
    assert answer.headers["location"].startswith("/tools/s/")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "none"}, 303),
        ({"Origin": "http://testserver"}, 303),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://proxy.example"}, 303),
        ({"Sec-Fetch-Site": "cross-site"}, 422),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://testserver"}, 422),
        ({"Origin": "https://evil.example"}, 422),
        ({"Origin": "null"}, 422),
        ({"Origin": "http://testserver.evil.example"}, 422),
    ],
)
def test_form_of_other_site_is_refused(client: TestClient, headers: dict[str, str], status: int) -> None:
    answer = client.post("/api/v1/links", data={"run": RUN_ID, "test": "2"}, headers=headers)
    assert answer.status_code == status


def test_form_from_public_url_is_accepted(make_client: MakeClient) -> None:
    client = make_client(public_url="https://xda.example/tools")
    form = {"run": RUN_ID, "test": "2"}
    for origin, status in (("https://xda.example", 303), ("https://other.example", 422)):
        assert client.post("/api/v1/links", data=form, headers={"Origin": origin}).status_code == status


@pytest.mark.parametrize(
    "path", ["/s/abcdefghijklmnop", "/s/x", "/s/%00%00%00%00%00%00%00%00", "/s/" + "a" * 65, "/s/ä"]
)
def test_link_unknown_is_404(client: TestClient, path: str) -> None:
    for tail in ("", "/card.png", "/media/test"):
        answer = client.get(path + tail, headers=BROWSER)
        assert answer.status_code == 404
        assert "<html" in answer.text


def test_link_request_names_equal_page_query() -> None:
    """Every field in the page's address can be shared under the same name."""
    from xda.web.view import View

    view = View(c=1.0, target=1, against=2, train_class=3, shown=7, colours="orange-purple", scale="page", opacity=50)
    query = {key: value for key, value in view.query().items() if value is not None}
    shared = LinkRequest.model_validate({"run": "x", "test": 0, **query})
    assert shared.model_dump(exclude={"run", "test", "train"}) == LinkRequest(
        run="x",
        test=0,
        target=1,
        against=2,
        c=1.0,
        train_class=3,
        show=7,
        map="orange-purple",
        scale="page",
        opacity=50,
    ).model_dump(exclude={"run", "test", "train"})


def test_link_database_is_in_home_folder(client: TestClient, web_home: Path) -> None:
    share(client)
    assert (web_home / "links.sqlite3").is_file()
