"""The JSON API under ``/api/v1``: runs, test images, explanations, relevance maps, training samples.

Explanations that the index holds are answered on the event loop (microseconds); what must be computed goes to a thread,
heat-maps to the device queue.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import asdict
from typing import Annotated, TypeVar

import orjson
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from xda.errors import BusyError, InvalidRequestError
from xda.services.heatmaps import to_npz
from xda.services.views import GalleryFilter, GalleryOrder
from xda.settings import Settings
from xda.web.conditional import REVALIDATE, content_tag, matches, not_modified, run_tag
from xda.web.dependencies import CatalogDep, ExplainerDep, SettingsDep
from xda.web.problems import documented
from xda.web.routes.api_models import ExplanationModel, RunModel, TestPageModel, TrainingSampleModel

router = APIRouter(tags=["explorer"])

T = TypeVar("T")

INDEXED_LIMIT = 128
"""Up to this length explanations of the predicted class come from the run's index."""

TestIndex = Annotated[int, Path(ge=0, description="Position in the test set.", examples=[115])]
TrainIndex = Annotated[int, Path(ge=0, description="Position in the training set.", examples=[24798])]
C = Annotated[float | None, Query(gt=0, allow_inf_nan=False, description="Surrogate; the run's default if left out.")]
Target = Annotated[
    int | None, Query(ge=0, description="Class to explain; the one the network predicts if left out.", examples=[9])
]
Against = Annotated[int | None, Query(ge=0, description="Explain the target in contrast to this class.", examples=[4])]
TrainClass = Annotated[int | None, Query(ge=0, description="List only training samples of this label.")]
Limit = Annotated[int, Query(ge=1, description="Most entries of a list (of each sign).")]
Class = Annotated[int | None, Query(ge=0)]


def check_limit(limit: int, settings: Settings) -> None:
    """Refuse a page longer than the setting ``max_page``.

    Raises
    ------
    InvalidRequestError
        ``limit`` is too large.
    """
    if limit > settings.max_page:
        raise InvalidRequestError(f"limit={limit} is more than this server lists at once: at most {settings.max_page}.")


async def within(future: Future[T], seconds: float) -> T:
    """Wait for the device without blocking the event loop.

    Raises
    ------
    BusyError
        The answer did not come within ``seconds``; what still waits in the queue is withdrawn.
    """
    try:
        return await asyncio.wait_for(asyncio.wrap_future(future), seconds)
    except TimeoutError:
        raise BusyError(
            f"The heat-maps were not ready within {seconds:g} s, others wait before them; try again in a moment.",
            retry_after=max(1, round(seconds / 4)),
        ) from None


def json_response(body: bytes, tag: str) -> Response:
    """Answer with JSON that is to be revalidated."""
    return Response(body, headers={"ETag": tag, "Cache-Control": REVALIDATE}, media_type="application/json")


@router.get(
    "/api/v1/runs/{run}/test/{test}/explanation",
    operation_id="getExplanation",
    summary="Which training images decided",
    response_model=ExplanationModel,
    responses=documented(404, 422, 503),
)
async def get_explanation(
    request: Request,
    explainer: ExplainerDep,
    settings: SettingsDep,
    test: TestIndex,
    c: C = None,
    target: Target = None,
    against: Against = None,
    limit: Limit = 12,
    train_class: TrainClass = None,
) -> Response:
    """Return the strongest supporting and opposing training images of one decision, and exact totals over all."""
    tag = run_tag(request, explainer.digest)
    if matches(request, tag):
        return not_modified(tag)
    check_limit(limit, settings)
    if target is None and against is None and train_class is None and limit <= INDEXED_LIMIT:
        explanation = explainer.explain(test, c=c, limit=limit)
    else:
        explanation = await run_in_threadpool(
            explainer.explain, test, c=c, target=target, against=against, limit=limit, train_class=train_class
        )
    return json_response(orjson.dumps(explanation), tag)


@router.get(
    "/api/v1/runs",
    operation_id="listRuns",
    summary="The runs that are served",
    response_model=list[RunModel],
    responses=documented(503),
)
async def list_runs(request: Request, catalog: CatalogDep) -> Response:
    """Return every run with its surrogates and their certificates."""
    runs = [
        {
            "id": run.id,
            "digest": run.digest,
            "title": run.title,
            "classes": run.classes,
            "n_train": run.n_train,
            "n_test": run.n_test,
            "surrogates": [
                {
                    "c": entry.c,
                    "n_support": entry.n_support,
                    "relative_gap": entry.certificate.relative_gap,
                    "agreement": entry.agreement,
                }
                for entry in run.surrogates
            ],
        }
        for run in catalog.runs.values()
    ]
    body = orjson.dumps(runs)
    tag = content_tag(body)
    return not_modified(tag) if matches(request, tag) else json_response(body, tag)


@router.get(
    "/api/v1/runs/{run}/test",
    operation_id="listTestImages",
    summary="Test images, filtered and page by page",
    response_model=TestPageModel,
    responses=documented(404, 422, 503),
)
async def list_test_images(
    request: Request,
    explainer: ExplainerDep,
    settings: SettingsDep,
    predicted: Class = None,
    label: Class = None,
    correct: bool | None = None,
    disagrees: bool | None = None,
    max_margin: Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)] = None,
    order: GalleryOrder = "index",
    c: C = None,
    limit: Limit = 50,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """Return the test images that match, and the cursors of the pages before and after."""
    tag = run_tag(request, explainer.digest)
    if matches(request, tag):
        return not_modified(tag)
    check_limit(limit, settings)
    wanted = GalleryFilter(label, predicted, correct, disagrees, max_margin)
    page = await run_in_threadpool(explainer.gallery, wanted, c=c, order=order, limit=limit, cursor=cursor)
    body = orjson.dumps(
        {
            "items": page.items,
            "total": page.total,
            "next_cursor": page.next_cursor,
            "previous_cursor": page.previous_cursor,
        }
    )
    return json_response(body, tag)


@router.get(
    "/api/v1/runs/{run}/train/{train}",
    operation_id="getTrainingSample",
    summary="One training image",
    response_model=TrainingSampleModel,
    responses=documented(404, 422, 503),
)
async def get_training_sample(
    request: Request,
    explainer: ExplainerDep,
    settings: SettingsDep,
    train: TrainIndex,
    c: C = None,
    limit: Limit = 12,
) -> Response:
    """Return its dual variables, self-influence and slack, and the test images it moves most."""
    tag = run_tag(request, explainer.digest)
    if matches(request, tag):
        return not_modified(tag)
    check_limit(limit, settings)
    sample = await run_in_threadpool(explainer.training_sample, train, c=c, limit=limit)
    return json_response(orjson.dumps(asdict(sample)), tag)


@router.get(
    "/api/v1/runs/{run}/pairs/{test}/{train}/relevance",
    operation_id="getPairRelevance",
    summary="The two heat-maps of one pair, as numbers",
    response_class=Response,
    responses={
        200: {
            "description": "NumPy .npz: float32 `test` (H, W) and `train` (H, W), float64 `attribution` ().",
            "content": {"application/x-npz": {"schema": {"type": "string", "format": "binary"}}},
        },
        **documented(404, 422, 503),
    },
)
async def get_pair_relevance(
    request: Request,
    explainer: ExplainerDep,
    settings: SettingsDep,
    test: TestIndex,
    train: TrainIndex,
    c: C = None,
    target: Target = None,
    against: Against = None,
) -> Response:
    """Return both maps; each sums to the attribution up to the stabiliser of the propagation rule."""
    tag = run_tag(request, explainer.digest)
    if matches(request, tag):
        return not_modified(tag)
    future = await run_in_threadpool(explainer.relevance, test, [train], c=c, target=target, against=against)
    (pair,) = await within(future, settings.wait_seconds)
    name = f"{explainer.id}-test{test}-train{train}.npz"
    headers = {
        "ETag": tag,
        "Cache-Control": REVALIDATE,
        "Content-Disposition": f'attachment; filename="{name}"',
    }
    return Response(to_npz(pair), headers=headers, media_type="application/x-npz")
