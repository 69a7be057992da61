"""Routes of an explanation: the page and its downloads tell the same decision."""

from __future__ import annotations

import csv
import html
import io
import re

import numpy as np
import pytest
from starlette.testclient import TestClient

from xda.attribution.ranking import Rank
from xda.explanation.run import Explainer
from xda.numerals import signed
from xda.present.signed_maps import unpack
from xda.web.pages.explanation.routes import router, told
from xda.web.pages.figures import attachment_name
from xda.web.view import View

ASKED = "target=4&against=9&c=0.01"


def test_explanation_has_a_page_and_five_downloads() -> None:
    base = "/r/{run}/test/{test}"
    assert {getattr(route, "path", "") for route in router.routes} == {
        base,
        *(f"{base}/explanation.{kind}" for kind in ("csv", "json", "png", "svg", "pdf")),
    }


def test_story_of_a_view_is_its_decision(explainer: Explainer) -> None:
    explanation = told(explainer, 14, View(c=0.01, target=4, against=9, shown=3)).explanation
    parts = explainer.decompose(14, c=0.01, target=4, against=9)
    assert explanation == parts.explanation(3, with_effects=True)
    assert [part.index for part in explanation.supporting] == [part.index for part in parts.explanation(3).supporting]


def test_page_and_downloads_tell_the_same_decision(client: TestClient, explainer: Explainer) -> None:
    expected = explainer.explain(14, c=0.01, target=4, against=9, limit=600)
    document = client.get(f"/r/digits/test/14/explanation.json?{ASKED}").json()
    assert (document["target"], document["against"], document["c"]) == (4, 9, 0.01)
    assert document["surrogate_logit"] == expected.surrogate_logit
    rows = list(csv.DictReader(io.StringIO(client.get(f"/r/digits/test/14/explanation.csv?{ASKED}").text)))
    assert len(rows) == expected.n_supporting + expected.n_opposing
    assert "why 4 and not 9" in client.get(f"/r/digits/test/14?{ASKED}").text
    picture = client.get(f"/r/digits/test/14/explanation.png?{ASKED}")
    assert (picture.headers["content-type"], picture.content[:4]) == ("image/png", b"\x89PNG")
    drawing = client.get(f"/r/digits/test/14/explanation.svg?{ASKED}")
    assert drawing.headers["content-type"] == "image/svg+xml"
    assert ">Why 4 and not 9?</text>" in drawing.text
    paper = client.get(f"/r/digits/test/14/explanation.pdf?{ASKED}")
    assert (paper.headers["content-type"], paper.content[:5]) == ("application/pdf", b"%PDF-")
    name = attachment_name(explainer, explainer.decide(14, c=0.01, target=4, against=9))
    for kind, answer in (("png", picture), ("svg", drawing), ("pdf", paper)):
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}.{kind}"'


def test_exports_of_page_are_all_answered(client: TestClient) -> None:
    page = client.get(f"/r/digits/test/14?{ASKED}").text
    menu = re.findall(r'<li><a href="([^"]*explanation\.(\w+)[^"]*)" download>', page)
    assert [kind for _, kind in menu] == ["csv", "json", "png", "svg", "pdf"]
    for address, _ in menu:
        assert client.get(html.unescape(address)).status_code == 200


def test_page_of_wrong_decision_asks_why_not_the_label(client: TestClient, explainer: Explainer) -> None:
    outcomes = explainer.outcomes
    wrong = int(np.flatnonzero(outcomes.predicted["test"] != explainer.labels("test"))[0])
    label, predicted = explainer.label("test", wrong), explainer.predicted("test", wrong)
    assert f"Why {predicted} and not {label}?" in client.get(f"/r/digits/test/{wrong}").text
    alone = client.get(f"/r/digits/test/{wrong}?against=none").text
    assert f"Why {predicted}?" in alone
    assert re.search(r'<option value="none" selected>\s*nothing', alone)
    assert client.get(f"/r/digits/test/{wrong}/explanation.json?against=none").json()["against"] is None
    shared = client.post(
        "/api/v1/links", data={"run": "digits", "test": str(wrong)}, headers={"Sec-Fetch-Site": "same-origin"}
    )
    assert f"Why {predicted}?" in client.get(shared.headers["location"]).text


@pytest.mark.parametrize(
    ("rank", "field", "words"),
    [
        ("image", "specific", "less that of the average image that the network calls 4"),
        ("removal", "removal_effect", "the sum of the estimated changes of the surrogate’s logit for 4"),
    ],
)
def test_page_and_downloads_tell_the_same_ranking(
    client: TestClient, explainer: Explainer, rank: Rank, field: str, words: str
) -> None:
    address, asked = "/r/digits/test/14", f"target=4&c=0.01&rank={rank}"
    told = explainer.explain(14, target=4, c=0.01, rank=rank)
    strongest = told.supporting[0]
    page = html.unescape(client.get(f"{address}?{asked}").text)
    assert f'<span class="tile-value">{signed(getattr(strongest, field))}</span>' in page
    assert f"<span>share {signed(strongest.attribution)}</span>" in page
    assert words in page
    assert "A share of the sum is not what would change if the image were missing." in page
    rows = list(csv.DictReader(io.StringIO(client.get(f"{address}/explanation.csv?{asked}").text)))
    assert {int(rows[0]["train_index"])} <= {strongest.index, told.opposing[0].index}
    assert float(rows[0][field]) in (getattr(strongest, field), getattr(told.opposing[0], field))
    document = client.get(f"{address}/explanation.json?{asked}&limit=12").json()
    assert document["rank"] == rank
    assert [each["index"] for each in document["supporting"]] == [part.index for part in told.supporting]
    pair = html.unescape(client.get(f"{address}/train/{strongest.index}?{asked}").text)
    assert f"the strongest of {told.n_supporting} of its sign" in pair


def test_ranking_switch_marks_one_of_three_and_keeps_the_question(client: TestClient) -> None:
    text = html.unescape(client.get("/r/digits/test/14?target=4&c=0.01&rank=image").text)
    links = re.findall(r'<a id="rank-\d" href="([^"]*)"[^>]*?( aria-current="true")?>([^<]*)</a>', text)
    assert [(words.strip(), bool(current)) for _, current, words in links] == [
        ("adds up to the logit", False), ("sets this image apart", True), ("would change it", False)
    ]  # fmt: skip
    assert all("target=4" in url for url, _, _ in links)
    assert "rank=" not in links[0][0]


def test_tile_of_the_sum_states_the_effect_of_removal(client: TestClient, explainer: Explainer) -> None:
    (strongest,) = explainer.decompose(14, c=0.01).explanation(1, with_effects=True).supporting
    assert strongest.removal_effect is not None
    assert (
        f"<span>without it {signed(strongest.removal_effect, 2)}</span>" in client.get("/r/digits/test/14?c=0.01").text
    )


def test_shared_link_keeps_its_ranking(client: TestClient, explainer: Explainer) -> None:
    asked = {"run": "digits", "test": 14, "target": 4, "c": 0.01, "show": 1, "rank": "removal"}
    told = explainer.explain(14, target=4, c=0.01, rank="removal", limit=1)
    text = client.get(f"/s/{client.post('/api/v1/links', json=asked).json()['id']}").text
    assert told.supporting[0].removal_effect is not None
    assert f'<span class="tile-value">{signed(told.supporting[0].removal_effect)}</span>' in text


def test_page_of_a_ranking_has_its_training_maps(client: TestClient, explainer: Explainer) -> None:
    text = html.unescape(client.get("/r/digits/test/14?target=4&c=0.01&rank=removal&show=1").text)
    signed_maps = re.findall(r'"(/media/[^"]*?/(?:test|train)\.i16[^"]*)"', text)
    trains = [address for address in signed_maps if "/train.i16" in address]
    assert len(trains) == 2
    assert all("rank=removal" in address for address in trains)
    told = explainer.explain(14, target=4, c=0.01, rank="removal", limit=1)
    maps = explainer.relevance(told.decision, told.listed, rank="removal").result()
    by_index = {pair.train_index: pair for pair in maps}
    for address in trains:
        index = int(address.split("/")[-2].split("-")[1])
        content = client.get(address).content
        shown, scale = unpack(content, by_index[index].train.shape[1])
        np.testing.assert_allclose(shown, by_index[index].train, atol=1e-4 * scale)
    pair = html.unescape(client.get(f"/r/digits/test/14/train/{told.listed[0]}?target=4&c=0.01&rank=removal").text)
    assert "red where it supports; that of the test image stays the share’s" in pair
