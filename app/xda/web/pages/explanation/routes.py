"""Routes of the explanation page and its exports: CSV, JSON, and the figure as PNG, SVG and PDF."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from xda.explanation.comparison import opponents
from xda.numerals import parameter
from xda.present.canvas import Canvas
from xda.present.documents import explanation_json
from xda.present.png_figure import Drawn, explanation_canvas
from xda.present.story import Story, tell
from xda.present.words import better_c_in_words, title
from xda.runs.default_c import clearly_better
from xda.web.dependencies import ExplainerDep, SettingsDep, TestIndexDep, Visit, VisitDep
from xda.web.http.conditional import REVALIDATE, fresh, run_tag
from xda.web.http.csv_table import csv_table
from xda.web.http.device_wait import finished
from xda.web.pages.chrome import Choice, Chrome, run_header
from xda.web.pages.explanation import context as explanation_context
from xda.web.pages.figures import attachment, attachment_name, figure_response
from xda.web.pages.pictures import ServedPictures
from xda.web.rendering import render
from xda.web.view import Listing, View, ViewDep, integer

if TYPE_CHECKING:
    from xda.decision import Decision
    from xda.explanation.run import Explainer
    from xda.web.pages.explanation.context import Shared

router = APIRouter(include_in_schema=False)


def told(explainer: Explainer, test: int, view: View) -> Story:
    """Compute the explanation that a view shows."""
    return tell(explainer, view.decision(explainer, test), limit=view.shown, train_class=view.train_class)


def explanation_page(visit: Visit, story: Story, view: View, shared: Shared | None = None) -> Response:
    """Render the explanation of a served run.

    Parameters
    ----------
    visit : Visit
    story : Story
    view : View
    shared : Shared, optional
        Set for a shared page.
    """
    explainer, urls = visit.explainer, visit.urls
    test, names = story.explanation.test, story.classes

    def with_c(value: float) -> str:
        return urls.explanation(explainer.id, test.index, view.query(c=value, target=story.explanation.target))

    def in_run(run: Explainer) -> str:
        # The gallery's list depends on the predictions of its network.
        kept = replace(view, c=view.c if view.c in run.c_values else None, listing=Listing())
        return urls.explanation(run.id, test.index, kept.query())

    asked = view.query(c=story.explanation.c, target=story.explanation.target, train_class=None, shown=View().shown)
    comparable = len(explainer.c_values) > 1 or len(opponents(explainer, visit.catalog.runs)) > 1
    header = run_header(
        visit,
        c=story.explanation.c,
        with_c=with_c,
        keep=view.elsewhere().query(),
        view=view,
        in_run=in_run,
        compare=urls.comparison(explainer.id, test.index, asked) if comparable else None,
    )
    chrome = Chrome(
        title(story.explanation, names),
        header,
        f"Which training images made the network say {names[test.predicted]}.",
    )
    page = explanation_context.build(
        story,
        view,
        chrome,
        urls,
        ServedPictures(urls, story, view, explainer.images.place, not explainer.no_heatmaps),
        neighbours=explainer.neighbours(test.index, view.listing.choice, c=view.c, order=view.listing.order),
        shared=shared,
        predicted=partial(explainer.predicted, "train"),
        better_c=_better_c(explainer, story.explanation.c, with_c),
    )
    return render(visit.request, "pages/explanation.html", page)


def _better_c(explainer: Explainer, shown: float, with_c: Callable[[float], str]) -> Choice | None:
    other = clearly_better(shown, explainer.surrogates, explainer.n_test)
    if other is None:
        return None
    note = better_c_in_words(shown, explainer.surrogates, explainer.n_test)
    return Choice(f"This decision under C = {parameter(other.c)}", with_c(other.c), note=note)


@router.get("/r/{run}/test/{test}")
async def get_explanation(visit: VisitDep, view: ViewDep, test: TestIndexDep) -> Response:
    """Explain one decision."""
    return explanation_page(visit, told(visit.explainer, test, view), view)


def _attachment(explainer: Explainer, asked: Decision, kind: str) -> dict[str, str]:
    return attachment(f"{attachment_name(explainer, asked)}.{kind}") | {"Cache-Control": REVALIDATE}


@router.get("/r/{run}/test/{test}/explanation.csv")
async def get_csv(explainer: ExplainerDep, view: ViewDep, test: TestIndexDep) -> Response:
    """Return every non-zero contribution with its exact value, strongest first."""
    decision = view.decision(explainer, test)
    parts = explainer.decompose(decision)
    names = (explainer.classes[label] for label in parts.label.tolist())
    values = [each.tolist() for each in (parts.index, parts.label, parts.attribution, parts.at_bound, parts.intercept)]
    columns = ("train_index", "label", "label_name", "attribution", "at_bound", "intercept", "source")
    table = csv_table(columns, zip(*values[:2], names, *values[2:], parts.sources(), strict=True))
    return Response(table, headers=_attachment(explainer, decision, "csv"), media_type="text/csv; charset=utf-8")


@router.get("/r/{run}/test/{test}/explanation.json")
async def get_json(
    explainer: ExplainerDep,
    settings: SettingsDep,
    view: ViewDep,
    test: TestIndexDep,
    limit: Annotated[str | None, Query(max_length=40)] = None,
) -> Response:
    """Return the interface's JSON, with every non-zero contribution unless a ``limit`` is given."""
    decision, most = view.decision(explainer, test), integer("limit", limit, 1, settings.max_page)
    body = await run_in_threadpool(explanation_json, explainer, decision, limit=most, train_class=view.train_class)
    return Response(body, headers=_attachment(explainer, decision, "json"), media_type="application/json")


@router.get("/r/{run}/test/{test}/explanation.png")
@router.get("/r/{run}/test/{test}/explanation.svg")
@router.get("/r/{run}/test/{test}/explanation.pdf")
async def get_figure(
    request: Request, explainer: ExplainerDep, settings: SettingsDep, view: ViewDep, test: TestIndexDep
) -> Response:
    """Return the explanation as a figure in the layout of the paper."""
    headers = fresh(request, run_tag(request, explainer.digest))
    story = told(explainer, test, view)
    decision = story.explanation.decision
    own = await finished(explainer.own_relevance(decision, blank=True), settings)
    pairs = await finished(explainer.relevance(decision, story.explanation.listed, blank=True), settings)

    def canvas() -> Canvas:
        drawn = Drawn.of(explainer, decision, own, pairs)
        return explanation_canvas(story, drawn, colours=view.colours, one_scale=view.scale == "page")

    return await figure_response(request, canvas, headers, attachment_name(explainer, decision))
