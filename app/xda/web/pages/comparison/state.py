"""The state in the query of a comparison: the other side, and the filter and order of the training images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, cast

from fastapi import Depends, Query, Request

from xda.explanation.comparison import ONLY, ORDERS, Only, Order
from xda.web.view import DEFAULT_SHOWN, View, ViewDep, choice, decimal, integer

ROWS = (24, 48, 96, 192)
"""Steps of "more": training images."""
PINNED = 16
"""Digits of a run's digest in a copied link."""


@dataclass(frozen=True, slots=True)
class CompareView:
    """One state of a comparison."""

    view: View
    """The first side, the decision, and the display of heat-maps."""
    other: str = ""
    """Run of the second side; empty for the default."""
    other_c: float | None = None
    only: Only = "all"
    order: Order = "strongest"
    rows: int = ROWS[0]
    pinned: str = ""
    """First digits of the first run's digest when the link was copied; empty: unknown."""
    other_pinned: str = ""

    def query(self, **changes: Any) -> dict[str, object]:
        """Return the query of this state, or of a changed one, without default values.

        Changes may be fields of this state or of its view; only copied links contain digests.
        """
        own = {key: changes.pop(key) for key in tuple(changes) if key in ("other", "other_c", "only", "order", "rows")}
        state = replace(self, **own) if own else self
        return {
            **self.view.query(**changes),
            "with": state.other or None,
            "with_c": None if state.other_c is None else f"{state.other_c:g}",
            "only": None if state.only == "all" else state.only,
            "by": None if state.order == "strongest" else state.order,
            "rows": None if state.rows == ROWS[0] else state.rows,
        }


def read_compare_view(
    request: Request,
    view: ViewDep,
    other: Annotated[str | None, Query(alias="with", max_length=128)] = None,
    with_c: Annotated[str | None, Query(max_length=40)] = None,
    only: Annotated[str | None, Query(max_length=40)] = None,
    by: Annotated[str | None, Query(max_length=40)] = None,
    rows: Annotated[str | None, Query(max_length=40)] = None,
    at: Annotated[str | None, Query(max_length=64)] = None,
    with_at: Annotated[str | None, Query(max_length=64)] = None,
) -> CompareView:
    """Read a comparison from a query (a FastAPI dependency).

    Raises
    ------
    InvalidRequestError
        A value is invalid; the message names it.
    """
    most = request.app.state.lifecycle.settings.max_page
    return CompareView(
        # Here `only` and `rows` select the listed training images.
        view=replace(view, train_class=None, shown=DEFAULT_SHOWN),
        other=other or "",
        other_c=decimal("with_c", with_c),
        only=cast(Only, choice("only", only, ONLY)),
        order=cast(Order, choice("by", by, ORDERS)),
        rows=integer("rows", rows, 1, most) or min(ROWS[0], most),
        pinned=at or "",
        other_pinned=with_at or "",
    )


CompareViewDep = Annotated[CompareView, Depends(read_compare_view)]
