"""The JSON API's comparison of two surrogates on one test image."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from xda.explanation.comparison import Only, Order, compare, other_side
from xda.web.api.comparison_document import ComparisonModel, comparison_document
from xda.web.api.queries import Against, C, Limit, Target
from xda.web.api.queries import Query as Base
from xda.web.api.runs import TestIndex, check_limit, json_response
from xda.web.dependencies import CatalogDep, ExplainerDep, SettingsDep
from xda.web.http import conditional
from xda.web.http.conditional import matches, not_modified, run_tag
from xda.web.http.problems import documented

router = APIRouter(tags=["explorer"])


class ComparisonQuery(Base):
    """The two surrogates and the decision to compare, and the length of the list."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)

    c: C | None = None
    other: Annotated[
        str,
        Field(
            max_length=128,
            alias="with",
            description="Run of the second side; default: another one over the same data, else the same run.",
        ),
    ] = ""
    with_c: Annotated[C, Field(description="Its surrogate; default: the same C, or a near one.")] | None = None
    target: Target | None = None
    against: Against | None = None
    only: Only = "all"
    by: Annotated[Order, Field(description="Largest share first, or largest change of share first.")] = "strongest"
    limit: Limit = 24


@router.get(
    "/api/v1/runs/{run}/test/{test}/comparison",
    operation_id="getComparison",
    summary="The same decision under two surrogates",
    response_model=ComparisonModel,
    responses=conditional.DOCUMENTED | documented(404, 422, 503),
)
async def get_comparison(
    request: Request,
    catalog: CatalogDep,
    explainer: ExplainerDep,
    settings: SettingsDep,
    test: TestIndex,
    query: Annotated[ComparisonQuery, Query()],
) -> Response:
    """Return both sides, their agreement, and the matched training images that contribute on either side."""
    check_limit(query.limit, settings)
    other = catalog.get(query.other) if query.other else None
    second, other_c = other_side(explainer, query.c, catalog.runs, other, query.with_c)
    tag = run_tag(request, explainer.digest + second.digest)
    if matches(request, tag):
        return not_modified(tag)
    decision = explainer.decide(test, c=query.c, target=query.target, against=query.against)
    compared = await run_in_threadpool(compare, explainer, second, decision, other_c)
    return json_response(orjson.dumps(comparison_document(compared, query.only, query.by, query.limit)), tag)
