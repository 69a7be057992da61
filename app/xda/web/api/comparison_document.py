"""A comparison as JSON, for the API and the export: the shapes for OpenAPI and the document itself."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from xda.explanation.comparison import Comparison, Only, Order, Presence, Side
from xda.runs.matching import By
from xda.web.api.models import Model, Source, TestSampleModel


class LabelSumModel(Model):
    """Sum of the contributions of all training images of one label."""

    label: int
    supporting: float
    opposing: float
    n_supporting: int
    n_opposing: int


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
    share: tuple[float, float] = Field(description="Signed share of all that is added and taken away on each side.")
    presence: tuple[Presence, Presence]
    flipped: bool
    source: tuple[Source, Source]


class ComparisonModel(Model):
    """The same decision under two surrogates, contributions matched by training image."""

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


def comparison_document(compared: Comparison, only: Only, order: Order, limit: int | None) -> dict[str, Any]:
    """Return a comparison in types that orjson encodes, shaped as ``ComparisonModel``."""
    change = compared.matched.change
    return {
        "target": compared.target,
        "against": compared.against,
        "sides": [_side(side) for side in compared.sides],
        "matched_by": compared.matched_by,
        "n_common": compared.n_common,
        "n_relabelled": compared.n_relabelled,
        "agreement": compared.matched.agreement,
        "change": {
            "total": change.total,
            "both": change.both,
            "only_second": change.only_second,
            "only_first": change.only_first,
        },
        "total": compared.counts()[only],
        "images": compared.images(only, order, limit),
    }


def _side(side: Side) -> dict[str, Any]:
    told = side.explanation
    return {
        "run": side.run_id,
        "title": side.run_title,
        "digest": side.run_digest,
        "c": told.c,
        "test": told.test,
        "surrogate_logit": told.surrogate_logit,
        "sum_supporting": told.sum_supporting,
        "sum_opposing": told.sum_opposing,
        "n_supporting": told.n_supporting,
        "n_opposing": told.n_opposing,
        "n_train": told.n_train,
        "n_support": side.n_support,
        "agreement": side.agreement,
        "by_label": side.by_class,
    }
