"""Which two sides a comparison's address asks for."""

from __future__ import annotations

import pytest

from xda.errors import InvalidRequestError, NotFoundError
from xda.explanation.catalog import Catalog
from xda.explanation.run import Explainer
from xda.web.pages.comparison.routes import asked_sides, chosen_side, router
from xda.web.pages.comparison.state import CompareView
from xda.web.view import View


def test_comparison_has_a_page_and_two_exports() -> None:
    base = "/r/{run}/test/{test}"
    assert [getattr(route, "path", "") for route in router.routes] == [
        f"{base}/compare",
        f"{base}/comparison.csv",
        f"{base}/comparison.json",
    ]


@pytest.mark.parametrize(("c", "other_c"), [(0.01, 0.0001), (0.0001, 0.01)])
def test_second_side_is_the_other_c_by_default(
    explainer: Explainer, catalog: Catalog, c: float, other_c: float
) -> None:
    second, state = asked_sides(explainer, catalog, CompareView(View(c=c)))
    assert second is explainer
    assert (state.other, state.other_c, state.view.c) == ("digits", other_c, c)


def test_second_side_that_is_not_served_is_not_found(explainer: Explainer, catalog: Catalog) -> None:
    with pytest.raises(NotFoundError):
        asked_sides(explainer, catalog, CompareView(View(), other="nothing"))


@pytest.mark.parametrize(("text", "run", "c"), [("digits:0.01", "digits", 0.01), ("a:b:1e-4", "a:b", 1e-4)])
def test_chosen_side_is_a_run_and_a_c(text: str, run: str, c: float) -> None:
    state = chosen_side(text, CompareView(View()))
    assert (state.other, state.other_c) == (run, c)


@pytest.mark.parametrize("text", ["digits", ":0.01", "digits:x"])
def test_chosen_side_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="`other` is"):
        chosen_side(text, CompareView(View()))
