"""The selection on the explanation page: estimate, refit, and the addresses that hold it."""

from __future__ import annotations

import html
import re

from starlette.testclient import TestClient

from xda.explanation.run import Explainer
from xda.numerals import signed
from xda.web.pages.explanation.removal import Answer, estimated, removal_panel
from xda.web.urls import Urls, with_query
from xda.web.view import MOST_REMOVED, View


def chosen_two(explainer: Explainer) -> tuple[int, int]:
    told = explainer.explain(14, c=0.01, limit=2)
    first, second = sorted(told.listed[:2])
    return first, second


def test_estimate_of_a_selection_is_the_sum_of_its_effects(explainer: Explainer) -> None:
    parts = explainer.decompose(14, c=0.01)
    chosen = chosen_two(explainer)
    answer = estimated(parts, View(remove=chosen))
    assert answer == Answer(parts.predicted_removal(chosen))
    assert answer.estimate == sum(parts.predicted_removal([each]) for each in chosen)
    assert estimated(parts, View()) is None


def test_panel_sends_chosen_images_that_are_not_listed(explainer: Explainer) -> None:
    told = explainer.explain(14, c=0.01, limit=1)
    other = next(k for k in range(explainer.n_train) if k not in told.listed)
    view = View(remove=tuple(sorted((other, told.listed[0]))))
    panel = removal_panel(
        told, explainer.classes, "digits", view, Urls(), lambda **c: with_query("/p", view.query(**c)), Answer(-0.5)
    )
    assert [each.index for each in panel.unlisted] == [other]
    assert panel.unlisted[0].url == f"/p?remove={told.listed[0]}"
    assert (panel.clear, panel.n) == ("/p", 2)
    assert "Without the 2 chosen images: estimated change −0.500" in panel.estimate
    assert "remove" not in dict(panel.keep)


def test_page_estimates_and_measures_the_selection(client: TestClient, explainer: Explainer) -> None:
    chosen = chosen_two(explainer)
    page = f"/r/digits/test/14?c=0.01&remove={chosen[0]}&remove={chosen[1]}"
    text = html.unescape(client.get(page).text)
    estimate = explainer.decompose(14, c=0.01).predicted_removal(chosen)
    assert f"Without the 2 chosen images: estimated change {signed(estimate)}" in text
    assert len(re.findall(r'name="remove" value="\d+"[^>]* checked', text)) == 2
    assert f"remove={chosen[0]}%2C{chosen[1]}" in text
    assert "Measured by refit" not in text
    measured = explainer.measured_removal(14, chosen, c=0.01)
    text = html.unescape(client.get(f"{page}&refit=now").text)
    assert f"Measured by refit: {signed(measured.change)}" in text
    assert "The features stay fixed: the network is not trained again." in text


def test_selection_that_cannot_be_used_is_refused(client: TestClient, explainer: Explainer) -> None:
    assert client.get(f"/r/digits/test/14?remove={explainer.n_train}").status_code == 404
    assert client.get("/r/digits/test/14?remove=x").status_code == 422
    many = ",".join(map(str, range(MOST_REMOVED + 1)))
    assert client.get(f"/r/digits/test/14?remove={many}").status_code == 422


def test_shared_page_has_no_selection(client: TestClient) -> None:
    shared = client.post("/api/v1/links", json={"run": "digits", "test": 14, "show": 1})
    text = client.get(f"/s/{shared.json()['id']}").text
    assert "remove-" not in text
    assert 'id="removal"' not in text
