"""The state of a comparison as a query, without what is the default."""

from __future__ import annotations

from starlette.requests import Request
from starlette.testclient import TestClient

from xda.web.pages.comparison.state import ROWS, CompareView, read_compare_view
from xda.web.view import DEFAULT_SHOWN, View


def given(query: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in query.items() if value is not None}


def test_default_comparison_adds_no_query() -> None:
    assert given(CompareView(View()).query()) == {}


def test_query_has_every_changed_field() -> None:
    state = CompareView(View(c=0.1, target=2), "other", 0.01, "first", "change", ROWS[1], "abc", "def")
    assert given(state.query()) == {
        "c": "0.1", "target": 2, "with": "other", "with_c": "0.01", "only": "first", "by": "change", "rows": ROWS[1],
    }  # fmt: skip
    changed = given(state.query(rows=ROWS[0], other="", target=3))
    assert changed == {"c": "0.1", "target": 3, "with_c": "0.01", "only": "first", "by": "change"}


def test_read_comparison_ignores_filters_of_an_explanation(client: TestClient) -> None:
    request = Request({"type": "http", "app": client.app})
    view = View(train_class=3, shown=12, target=1)
    state = read_compare_view(request, view, "other", "0.01", "flipped", "change", "48", "abc", None)
    assert state == CompareView(View(target=1, shown=DEFAULT_SHOWN), "other", 0.01, "flipped", "change", 48, "abc", "")
    assert read_compare_view(request, View()) == CompareView(View())
