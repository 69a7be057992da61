"""Routes of the comparison of two surrogates on one test image: the page, its CSV and its JSON."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from xda.errors import InvalidRequestError
from xda.explanation.comparison import Comparison, compare, opponents, other_side
from xda.numerals import parameter
from xda.present.documents import comparison_json
from xda.web.dependencies import SettingsDep, TestIndexDep, VisitDep
from xda.web.http.conditional import REVALIDATE
from xda.web.http.csv_table import Cell, csv_table
from xda.web.pages.chrome import Chrome, run_header
from xda.web.pages.comparison import context
from xda.web.pages.comparison.state import CompareView, CompareViewDep
from xda.web.rendering import render
from xda.web.view import decimal, integer

if TYPE_CHECKING:
    from xda.explanation.catalog import Catalog
    from xda.explanation.run import Explainer

router = APIRouter(include_in_schema=False)


def asked_sides(explainer: Explainer, catalog: Catalog, state: CompareView) -> tuple[Explainer, CompareView]:
    """Return the second side's run, and the state with both sides explicit; errors as for ``other_side``."""
    other = catalog.get(state.other) if state.other else None
    second, other_c = other_side(explainer, state.view.c, catalog.runs, other, state.other_c)
    return second, replace(state, other=second.id, other_c=other_c)


async def compared_sides(explainer: Explainer, second: Explainer, state: CompareView, test: int) -> Comparison:
    """Compare in a thread, since matching runs by content reads all their training images."""
    return await run_in_threadpool(compare, explainer, second, state.view.decision(explainer, test), state.other_c)


def chosen_side(text: str, state: CompareView) -> CompareView:
    """Return the state with the second side chosen in the form, ``RUN:C``.

    Raises
    ------
    InvalidRequestError
        The choice does not have this form.
    """
    run, _, c = text.rpartition(":")
    if not run:
        raise InvalidRequestError(f"`other` is '{text[:40]}'; it must be a run and a C such as mnist-cnn:0.001.")
    return replace(state, other=run, other_c=decimal("other", c))


@router.get("/r/{run}/test/{test}/compare")
async def get_comparison(
    visit: VisitDep,
    state: CompareViewDep,
    test: TestIndexDep,
    other: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """Explain one decision under two surrogates side by side."""
    explainer, urls = visit.explainer, visit.urls
    if other:
        query = chosen_side(other, state).query()
        return RedirectResponse(urls.comparison(explainer.id, test, query), 303)
    second, state = asked_sides(visit.explainer, visit.catalog, state)
    compared = await compared_sides(explainer, second, state, test)
    view, c = state.view, compared.sides[0].explanation.c

    def with_c(value: float) -> str:
        # Comparing a surrogate with itself says nothing, so the two sides change places instead.
        meets = second is explainer and value == state.other_c
        changes = {"c": value, "target": compared.target, **({"other_c": c} if meets else {})}
        return urls.comparison(explainer.id, test, state.query(**changes))

    header = run_header(visit, c=c, with_c=with_c, keep=view.elsewhere().query(), view=view)
    names = compared.classes
    sides = " and ".join(f"{side.run_id} with C {parameter(side.explanation.c)}" for side in compared.sides)
    chrome = Chrome(
        f"Test image {test:,}: why {names[compared.target]}, two sides",
        header,
        f"Evidence for {names[compared.target]} in {sides}.",
    )
    page = context.build(
        compared,
        state,
        chrome,
        urls,
        opponents(explainer, visit.catalog.runs),
        neighbours=explainer.neighbours(test, view.listing.choice, c=view.c, order=view.listing.order),
    )
    return render(visit.request, "pages/comparison.html", page)


def _attachment(compared: Comparison, kind: str) -> dict[str, str]:
    first, second = (f"{side.run_id}-c{side.explanation.c:g}" for side in compared.sides)
    test, target = compared.sides[0].explanation.test.index, compared.target
    name = f"{first}-and-{second}-test-{test}-why-{target}.{kind}"
    return {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": REVALIDATE}


@router.get("/r/{run}/test/{test}/comparison.csv")
async def get_csv(visit: VisitDep, state: CompareViewDep, test: TestIndexDep) -> Response:
    """Return every training image that contributes on either side, with exact values."""
    second, state = asked_sides(visit.explainer, visit.catalog, state)
    compared = await compared_sides(visit.explainer, second, state, test)
    names = compared.classes
    columns = ("train_index", "label", "label_name", "attribution", "share", "presence", "source")
    rows: list[list[Cell]] = []
    for image in compared.images(state.only, state.order):
        row: list[Cell] = []
        for place in (0, 1):
            label = image.label[place]
            row += [
                image.index[place],
                label,
                None if label is None else names[label],
                image.attribution[place],
                image.share[place],
                image.presence[place],
                image.source[place],
            ]
        rows.append([*row, image.flipped])
    table = csv_table((*(f"{column}_{key}" for key in "ab" for column in columns), "sign_flipped"), rows)
    return Response(table, headers=_attachment(compared, "csv"), media_type="text/csv; charset=utf-8")


@router.get("/r/{run}/test/{test}/comparison.json")
async def get_json(
    visit: VisitDep,
    settings: SettingsDep,
    state: CompareViewDep,
    test: TestIndexDep,
    limit: Annotated[str | None, Query(max_length=40)] = None,
) -> Response:
    """Return the interface's JSON, with every training image that contributes unless a ``limit`` is given."""
    most = integer("limit", limit, 1, settings.max_page)
    second, state = asked_sides(visit.explainer, visit.catalog, state)
    compared = await compared_sides(visit.explainer, second, state, test)
    body = comparison_json(compared, state.only, state.order, most)
    return Response(body, headers=_attachment(compared, "json"), media_type="application/json")
