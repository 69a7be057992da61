"""The JSON API's route for a comparison of two surrogates, with its shapes for OpenAPI."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from xda.explanation.comparison import Only, Order, Presence, compare, other_side
from xda.present.documents import comparison_json
from xda.runs.matching import By
from xda.web.api.models import LabelSumModel, Model, Source, TestSampleModel
from xda.web.api.queries import Against, C, Limit, Target
from xda.web.api.queries import Query as Base
from xda.web.api.runs import TestIndex, check_limit, json_response
from xda.web.dependencies import CatalogDep, ExplainerDep, SettingsDep
from xda.web.http import conditional
from xda.web.http.conditional import fresh, run_tag
from xda.web.http.problems import documented

router = APIRouter(tags=["explorer"])


class SideModel(Model):
    """One side of a comparison."""

    run: str
    title: str
    digest: str
    c: float
    test: TestSampleModel
    surrogate_logit: float = Field(description="Logit of `target`, minus that of `against` if given.")
    sum_supporting: float
    sum_opposing: float
    n_supporting: int
    n_opposing: int
    n_train: int
    n_support: int = Field(description="Support vectors; every other training image has weight zero.")
    agreement: float = Field(description="Share of test samples on which network and surrogate agree.")
    by_label: list[LabelSumModel]


class AgreementModel(Model):
    """Figures of agreement between two explanations of the same decision."""

    n_first: int = Field(description="Training images that contribute on the first side.")
    n_second: int
    n_both: int
    n_flipped: int = Field(description="Number of images with opposite signs on the two sides.")
    jaccard: float = Field(description="`n_both` over the number that contribute on either side.")
    shared_weight: float = Field(
        description="1 - |p - q|_1 / 2 with p and q the signed shares: weight on the same images with the same sign."
    )
    pearson: float | None = Field(description="Over all images of either side; null where it is not defined.")
    spearman: float | None = Field(description="The same of the signed ranks, equal values sharing their mean rank.")
    n_top: int
    n_top_common: int = Field(description="Number of images among the `n_top` strongest of both sides.")


class ChangeModel(Model):
    """The second side's logit minus the first's, in three parts that add up to it."""

    total: float
    both: float
    only_second: float
    only_first: float


class ComparedImageModel(Model):
    """One training image; the first entry of each pair is that of the first side."""

    index: tuple[int | None, int | None] = Field(description="Null where it is not in the training set.")
    label: tuple[int | None, int | None]
    attribution: tuple[float, float]
    share: tuple[float, float] = Field(description="Signed share of all absolute contributions on each side.")
    presence: tuple[Presence, Presence]
    flipped: bool
    source: tuple[Source, Source]


class ComparisonModel(Model):
    """The same decision under two surrogates, contributions matched by training image."""

    classes: list[str]
    target: int
    against: int | None
    sides: tuple[SideModel, SideModel]
    matched_by: By = Field(description="The same run, the same data, the same images with other labels, or content.")
    n_common: int = Field(description="Training images that both training sets have.")
    n_relabelled: int = Field(description="Contributing images with another label on the second side.")
    agreement: AgreementModel
    change: ChangeModel
    total: int = Field(description="Training images that match `only`, listed or not.")
    images: list[ComparedImageModel]


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
    headers = fresh(request, run_tag(request, explainer.digest + second.digest))
    decision = explainer.decide(test, c=query.c, target=query.target, against=query.against)
    compared = await run_in_threadpool(compare, explainer, second, decision, other_c)
    return json_response(comparison_json(compared, query.only, query.by, query.limit), headers)
