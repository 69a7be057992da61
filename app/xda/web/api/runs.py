"""The JSON API under ``/api/v1``: runs, test images, explanations, relevance maps, training samples.

The event loop answers explanations from the index in microseconds; a thread computes all others, and the device queue
the heat-maps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.routing import request_response

from xda.errors import InvalidRequestError
from xda.explanation.gallery import GalleryFilter
from xda.explanation.heatmaps import to_npz
from xda.present.documents import explanation_json
from xda.settings import Settings
from xda.web.api.models import ExplanationModel, RunModel, TestPageModel, TrainingSampleModel
from xda.web.api.queries import (
    ExplanationQuery,
    GalleryQuery,
    RelevanceQuery,
    TrainingQuery,
    path_index,
    path_parameter,
    query_parameters,
    read_query,
)
from xda.web.dependencies import CatalogDep, ExplainerDep, SettingsDep
from xda.web.http import conditional
from xda.web.http.answer_cache import AnswerCache
from xda.web.http.conditional import content_tag, fresh, run_tag
from xda.web.http.device_wait import finished
from xda.web.http.problems import documented
from xda.web.lifecycle import Lifecycle


class DirectRoute(APIRoute):
    """Calls its endpoint with the request alone, as Starlette does; OpenAPI describes it like any other route.

    FastAPI resolves dependencies and opens two exit stacks for each request. That takes longer than looking up an
    explanation, so the route with thousands of requests a second skips it.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.app = request_response(endpoint)


router = APIRouter(tags=["explorer"])
direct = APIRouter(tags=["explorer"], route_class=DirectRoute)

TestIndex = Annotated[int, Path(ge=0, description="Position in the test set.", examples=[115])]
TrainIndex = Annotated[int, Path(ge=0, description="Position in the training set.", examples=[24798])]


def check_limit(limit: int, settings: Settings) -> None:
    """Refuse a longer page than the setting ``max_page``.

    Raises
    ------
    InvalidRequestError
        ``limit`` is too large.
    """
    if limit > settings.max_page:
        raise InvalidRequestError(f"limit={limit} is more than this server lists at once: at most {settings.max_page}.")


def json_response(body: bytes, headers: dict[str, str]) -> Response:
    """Answer with JSON."""
    return Response(body, headers=headers, media_type="application/json")


@direct.get(
    "/api/v1/runs/{run}/test/{test}/explanation",
    operation_id="getExplanation",
    summary="Which training images decided",
    response_model=ExplanationModel,
    responses=conditional.DOCUMENTED | documented(404, 422, 503),
    openapi_extra={
        "parameters": [
            path_parameter("run", {"type": "string"}, "Identifier of a run.", "mnist-cnn"),
            path_parameter("test", {"type": "integer", "minimum": 0}, "Position in the test set.", 115),
            *query_parameters(ExplanationQuery),
        ]
    },
)
async def get_explanation(request: Request) -> Response:
    """Return the strongest supporting and opposing training images of one decision, and the exact totals."""
    # Read the parameters here, since FastAPI takes longer for them than the answer needs.
    lifecycle: Lifecycle = request.app.state.lifecycle
    explainer = lifecycle.catalog.get(request.path_params["run"])
    tag = run_tag(request, explainer.digest)
    headers = fresh(request, tag)
    answers: AnswerCache = request.app.state.answers
    if (kept := answers.get(tag)) is not None:
        return json_response(kept, headers)
    test = path_index("test", request.path_params["test"])
    query = read_query(ExplanationQuery, request)
    check_limit(query.limit, lifecycle.settings)
    decision = explainer.decide(test, c=query.c, target=query.target, against=query.against)
    answer = partial(
        explanation_json, explainer, decision, limit=query.limit, train_class=query.train_class, rank=query.rank
    )
    indexed = query.indexed and query.limit <= explainer.run.manifest.per_sign
    body = answer() if indexed else await run_in_threadpool(answer)
    answers.put(tag, body)
    return json_response(body, headers)


@router.get(
    "/api/v1/runs",
    operation_id="listRuns",
    summary="The runs that are served",
    response_model=list[RunModel],
    responses=conditional.DOCUMENTED | documented(503),
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
            "default_c": run.default_c,
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
    return json_response(body, fresh(request, content_tag(body)))


@router.get(
    "/api/v1/runs/{run}/test",
    operation_id="listTestImages",
    summary="Test images, filtered and page by page",
    response_model=TestPageModel,
    responses=conditional.DOCUMENTED | documented(404, 422, 503),
)
async def list_test_images(
    request: Request,
    explainer: ExplainerDep,
    settings: SettingsDep,
    query: Annotated[GalleryQuery, Query()],
) -> Response:
    """Return the matching test images, and the cursors of the pages before and after."""
    headers = fresh(request, run_tag(request, explainer.digest))
    check_limit(query.limit, settings)
    wanted = GalleryFilter(query.label, query.predicted, query.correct, query.disagrees, query.max_margin)
    page = await run_in_threadpool(
        explainer.gallery, wanted, c=query.c, order=query.order, limit=query.limit, cursor=query.cursor
    )
    body = orjson.dumps(
        {
            "items": page.items,
            "total": page.total,
            "next_cursor": page.next_cursor,
            "previous_cursor": page.previous_cursor,
        }
    )
    return json_response(body, headers)


@router.get(
    "/api/v1/runs/{run}/train/{train}",
    operation_id="getTrainingSample",
    summary="One training image",
    response_model=TrainingSampleModel,
    responses=conditional.DOCUMENTED | documented(404, 422, 503),
)
async def get_training_sample(
    request: Request,
    explainer: ExplainerDep,
    settings: SettingsDep,
    train: TrainIndex,
    query: Annotated[TrainingQuery, Query()],
) -> Response:
    """Return its dual variables, self-influence and slack, and its strongest contributions to test images."""
    headers = fresh(request, run_tag(request, explainer.digest))
    check_limit(query.limit, settings)
    sample = await run_in_threadpool(explainer.training_sample, train, c=query.c, limit=query.limit)
    return json_response(orjson.dumps(sample), headers)


@router.get(
    "/api/v1/runs/{run}/pairs/{test}/{train}/relevance",
    operation_id="getPairRelevance",
    summary="The two heat-maps of one pair, as numbers",
    response_class=Response,
    responses={
        200: {
            "description": (
                "NumPy .npz: float32 `test` (H, W) and `train` (H, W), float64 `attribution` () as in the explanation, "
                "and `intercept` (), its part that an augmented intercept adds and no map shows (0 without one)."
            ),
            "content": {"application/x-npz": {"schema": {"type": "string", "format": "binary"}}},
        },
        **conditional.DOCUMENTED,
        **documented(404, 422, 503),
    },
)
async def get_pair_relevance(
    request: Request,
    explainer: ExplainerDep,
    settings: SettingsDep,
    test: TestIndex,
    train: TrainIndex,
    query: Annotated[RelevanceQuery, Query()],
) -> Response:
    """Return both maps; each sums to attribution − intercept, up to the stabiliser of the propagation rule."""
    headers = fresh(request, run_tag(request, explainer.digest))
    future = await run_in_threadpool(explainer.relevance, test, [train], **query.model_dump())
    (pair,) = await finished(future, settings)
    name = f"{explainer.id}-test{test}-train{train}.npz"
    headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return Response(to_npz(pair), headers=headers, media_type="application/x-npz")
