"""Routes of an explanation: the page and its downloads tell the same decision."""

from __future__ import annotations

import csv
import html
import io
import re

import numpy as np
from starlette.testclient import TestClient

from xda.explanation.run import Explainer
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
    assert explanation == explainer.explain(14, c=0.01, target=4, against=9, limit=3)


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
