"""Routes of the explanation page and its exports: CSV, JSON, and the figure as PNG, SVG and PDF."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from xda.attribution.ranking import VALUE_NAMES, Rank
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
from xda.web.pages.explanation.removal import Answer, estimated
from xda.web.pages.figures import attachment, attachment_name, figure_response
from xda.web.pages.pictures import ServedPictures
from xda.web.refits import Refits
from xda.web.rendering import render
from xda.web.view import Listing, View, ViewDep, choice, integer

if TYPE_CHECKING:
    from xda.decision import Decision
    from xda.explanation.run import Explainer
    from xda.web.pages.explanation.context import Shared

router = APIRouter(include_in_schema=False)


def told(explainer: Explainer, test: int, view: View) -> Story:
    """Compute the explanation that a view shows."""
    return _answered(explainer, test, view)[0]


def _answered(explainer: Explainer, test: int, view: View) -> tuple[Story, Answer | None]:
    explainer.bounds.check_images("train", view.remove)
    parts = explainer.decompose(view.decision(explainer, test))
    story = tell(explainer, parts, limit=view.shown, train_class=view.train_class, rank=view.rank)
    return story, estimated(parts, view)


def explanation_page(
    visit: Visit, story: Story, view: View, shared: Shared | None = None, answer: Answer | None = None
) -> Response:
    """Render the explanation of a served run.

    Parameters
    ----------
    visit : Visit
    story : Story
    view : View
    shared : Shared, optional
        Set for a shared page.
    answer : Answer, optional
        Numbers about the training images chosen for removal.
    """
    explainer, urls = visit.explainer, visit.urls
    test, names = story.explanation.test, story.classes

    def with_c(value: float) -> str:
        return urls.explanation(explainer.id, test.index, view.query(c=value, target=story.explanation.target))

    def in_run(run: Explainer) -> str:
        # The gallery's list depends on the predictions of its network.
        kept = replace(view, c=view.c if view.c in run.c_values else None, listing=Listing())
        return urls.explanation(run.id, test.index, kept.query())

    same = replace(view, train_class=None, shown=View().shown, remove=(), rank="sum")
    asked = same.query(c=story.explanation.c, target=story.explanation.target)
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
        answer=answer,
    )
    return render(visit.request, "pages/explanation.html", page)


def _better_c(explainer: Explainer, shown: float, with_c: Callable[[float], str]) -> Choice | None:
    other = clearly_better(shown, explainer.surrogates, explainer.n_test)
    if other is None:
        return None
    note = better_c_in_words(shown, explainer.surrogates, explainer.n_test)
    return Choice(f"This decision under C = {parameter(other.c)}", with_c(other.c), note=note)


@router.get("/r/{run}/test/{test}")
async def get_explanation(
    visit: VisitDep,
    settings: SettingsDep,
    view: ViewDep,
    test: TestIndexDep,
    refit: Annotated[str | None, Query(max_length=40)] = None,
) -> Response:
    """Explain one decision; ``refit=now`` measures the effect of removing the chosen training images."""
    explainer = visit.explainer
    if view.rank == "sum" and not view.remove:
        story, answer = _answered(explainer, test, view)
    else:
        # What these need may have to be computed first, which takes seconds.
        story, answer = await run_in_threadpool(_answered, explainer, test, view)
    if answer is not None and choice("refit", refit, ("", "now")):
        refits: Refits = visit.request.app.state.refits
        measured = await refits.measured(explainer, story.explanation.decision, view.remove, settings)
        answer = replace(answer, measured=measured)
    return explanation_page(visit, story, view, answer=answer)


def _attachment(explainer: Explainer, asked: Decision, kind: str) -> dict[str, str]:
    return attachment(f"{attachment_name(explainer, asked)}.{kind}") | {"Cache-Control": REVALIDATE}


@router.get("/r/{run}/test/{test}/explanation.csv")
async def get_csv(explainer: ExplainerDep, view: ViewDep, test: TestIndexDep) -> Response:
    """Return every non-zero contribution with its exact value, strongest first."""
    decision = view.decision(explainer, test)
    table = await run_in_threadpool(_csv, explainer, decision, view.rank)
    return Response(table, headers=_attachment(explainer, decision, "csv"), media_type="text/csv; charset=utf-8")


def _csv(explainer: Explainer, decision: Decision, rank: Rank) -> str:
    parts = explainer.decompose(decision)
    ranked = parts.ranked(rank)
    label, at_bound = parts.support.label[ranked.position], parts.support.at_bound[ranked.position]
    names = (explainer.classes[each] for each in label.tolist())
    values = [each.tolist() for each in (ranked.index, label, ranked.attribution, at_bound, ranked.intercept)]
    own, added = ([], ()) if rank == "sum" else ([ranked.value.tolist()], (VALUE_NAMES[rank],))
    columns = ("train_index", "label", "label_name", "attribution", "at_bound", "intercept", *added, "source")
    return csv_table(columns, zip(*values[:2], names, *values[2:], *own, parts.sources(ranked.index), strict=True))


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
    body = await run_in_threadpool(
        explanation_json, explainer, decision, limit=most, train_class=view.train_class, rank=view.rank
    )
    return Response(body, headers=_attachment(explainer, decision, "json"), media_type="application/json")


@router.get("/r/{run}/test/{test}/explanation.png")
@router.get("/r/{run}/test/{test}/explanation.svg")
@router.get("/r/{run}/test/{test}/explanation.pdf")
async def get_figure(
    request: Request, explainer: ExplainerDep, settings: SettingsDep, view: ViewDep, test: TestIndexDep
) -> Response:
    """Return the explanation as a figure in the layout of the paper."""
    headers = fresh(request, run_tag(request, explainer.digest))
    story = await run_in_threadpool(told, explainer, test, view)
    decision = story.explanation.decision
    evidence = await finished(explainer.evidence_relevance(decision, blank=True), settings)
    partners = story.explanation.listed
    pairs = await finished(explainer.relevance(decision, partners, blank=True, rank=view.rank), settings)

    def canvas() -> Canvas:
        drawn = Drawn.of(explainer, decision, evidence, pairs)
        return explanation_canvas(story, drawn, colours=view.colours, one_scale=view.scale == "page")

    return await figure_response(request, canvas, headers, attachment_name(explainer, decision))
