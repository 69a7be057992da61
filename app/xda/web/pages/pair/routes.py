"""Routes of the page of one pair."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from xda.attribution.results import Explanation
from xda.present.canvas import Canvas
from xda.present.pair_facts import PairFacts, pair_facts
from xda.present.pair_figure import DrawnPair, pair_canvas
from xda.web.dependencies import ExplainerDep, SettingsDep, TestIndexDep, TrainIndexDep, Visit, VisitDep
from xda.web.http.conditional import fresh, run_tag
from xda.web.http.device_wait import finished
from xda.web.pages.chrome import Chrome, run_header
from xda.web.pages.figures import attachment_name, figure_response
from xda.web.pages.pair import context as pair_context
from xda.web.pages.pair.context import PairPictures
from xda.web.pages.pictures import MapLayer, Side, map_query, served_map
from xda.web.rendering import render
from xda.web.view import View, ViewDep

if TYPE_CHECKING:
    from xda.explanation.run import Explainer
    from xda.web.pages.explanation.context import Shared

router = APIRouter(include_in_schema=False)


def asked_pair(explainer: Explainer, test: int, train: int, view: View) -> tuple[PairFacts, Explanation]:
    """Return one training image's share of the decision of a view; errors as for ``Explainer.explain``."""
    parts = explainer.decompose(view.decision(explainer, test))
    return pair_facts(explainer, parts, train, view.rank), parts.explanation(0, by=view.rank)


def pair_page(visit: Visit, pair: PairFacts, told: Explanation, view: View, shared: Shared | None = None) -> Response:
    """Render a pair of a served run; ``shared`` is set for a shared page."""
    explainer, urls = visit.explainer, visit.urls
    query, ranked = map_query(view, "pair"), {"rank": view.listed()["rank"]}
    kind = "oppose" if pair.attribution < 0 else "support"

    def layer(side: Side, shown: int) -> MapLayer | None:
        if explainer.no_heatmaps:
            return None
        where = explainer.images.place(side, shown)
        made = served_map(
            urls, explainer.digest, told.decision, pair.train, side, where, query, ranked if side == "train" else None
        )
        # Another ranking's map has other units than that of the test image, which stays the share's.
        return made if told.rank == "sum" or side == "train" else replace(made, group="own")

    def values(side: Side) -> str | None:
        if explainer.no_heatmaps:
            return None
        by = ranked if side == "train" else None
        return urls.relevance(explainer.digest, told.decision, pair.train, f"{side}.f32", by)

    def with_c(value: float) -> str:
        return urls.pair(explainer.id, told.test.index, pair.train, view.query(c=value, target=told.target))

    header = run_header(
        visit,
        c=told.c,
        with_c=with_c,
        keep=view.elsewhere().query(),
        view=view,
    )
    chrome = Chrome(
        f"Training image {pair.train:,} for test image {told.test.index:,}",
        header,
        f"How one training image {kind}s the class {explainer.classes[told.target]}.",
    )
    pictures = PairPictures(
        test=urls.image(explainer.digest, "test", told.test.index),
        train=urls.image(explainer.digest, "train", pair.train),
        test_map=layer("test", told.test.index),
        train_map=layer("train", pair.train),
        test_values=values("test"),
        train_values=values("train"),
    )
    page = pair_context.build(
        pair,
        told,
        explainer.classes,
        explainer.id,
        view,
        chrome,
        urls,
        pictures,
        shared=shared,
        predicted=explainer.predicted("train", pair.train),
    )
    return render(visit.request, "pages/pair.html", page)


@router.get("/r/{run}/test/{test}/train/{train}")
async def get_pair(visit: VisitDep, view: ViewDep, test: TestIndexDep, train: TrainIndexDep) -> Response:
    """Show a pair."""
    if view.rank == "sum":
        return pair_page(visit, *asked_pair(visit.explainer, test, train, view), view)
    return pair_page(visit, *await run_in_threadpool(asked_pair, visit.explainer, test, train, view), view)


@router.get("/r/{run}/test/{test}/train/{train}/pair.png")
@router.get("/r/{run}/test/{test}/train/{train}/pair.svg")
@router.get("/r/{run}/test/{test}/train/{train}/pair.pdf")
async def get_figure(
    request: Request,
    explainer: ExplainerDep,
    settings: SettingsDep,
    view: ViewDep,
    test: TestIndexDep,
    train: TrainIndexDep,
) -> Response:
    """Return a pair as a figure."""
    headers = fresh(request, run_tag(request, explainer.digest))
    facts, told = await run_in_threadpool(asked_pair, explainer, test, train, view)
    (maps,) = await finished(explainer.relevance(told.decision, [train], blank=True, rank=view.rank), settings)

    def canvas() -> Canvas:
        drawn = DrawnPair.of(explainer, told, maps)
        return pair_canvas(facts, told, drawn, colours=view.colours, one_scale=view.scale == "page")

    return await figure_response(request, canvas, headers, f"{attachment_name(explainer, told.decision)}-train-{train}")
