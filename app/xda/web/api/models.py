"""Shapes of the JSON API, for OpenAPI; a test checks every answer against them.

The answers are encoded directly from the frozen result types, since validating a result would cost more than computing
it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from xda.attribution.ranking import Rank


class Model(BaseModel):
    """Base: no undeclared field, no missing field."""

    model_config = ConfigDict(extra="forbid")


Source = Annotated[
    str | None,
    Field(
        description="Source of the image: path, Parquet file and row, or position in the data set; null in runs of "
        "earlier versions.",
        examples=["train/cat/017.jpg"],
    ),
]


class SurrogateModel(Model):
    """One surrogate of a run."""

    c: float = Field(description="Regularisation parameter C.", examples=[0.001])
    n_support: int = Field(description="Number of support vectors.", examples=[1312])
    relative_gap: float = Field(description="Relative duality gap of the fit, its certificate.", examples=[8.1e-7])
    agreement: float = Field(description="Share of test samples on which network and surrogate agree.", examples=[0.99])


class RunModel(Model):
    """One served run."""

    id: str = Field(examples=["mnist-cnn"])
    digest: str = Field(description="SHA-256 over the run's manifest.")
    title: str
    classes: list[str] = Field(examples=[["0", "1", "2"]])
    n_train: int = Field(examples=[60000])
    n_test: int = Field(examples=[10000])
    default_c: float = Field(description="Default C: it agrees best with the network on the test images.")
    surrogates: list[SurrogateModel]


class TestItemModel(Model):
    """One test image in a list."""

    __test__ = False

    index: int
    label: int
    predicted: int = Field(description="Class predicted by the network.")
    surrogate_predicted: int
    margin: float = Field(description="Softmax probability of the network's class minus that of the runner-up.")
    confidence: float = Field(description="Softmax probability of the network's class.")
    source: Source


class TestPageModel(Model):
    """One page of test images."""

    __test__ = False

    items: list[TestItemModel]
    total: int = Field(description="Test images that match the filter.")
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last one.")
    previous_cursor: str | None = Field(description='Cursor of the page before; "" for the first page, null on it.')


class TestSampleModel(Model):
    """The explained test image."""

    __test__ = False

    index: int
    label: int
    predicted: int = Field(description="Class predicted by the network.")
    network_logits: list[float]
    surrogate_logits: list[float]
    source: Source


class ContributionModel(Model):
    """One training sample's share of a decision."""

    index: int
    label: int = Field(description="Label in the data set, possibly a wrong one.")
    attribution: float = Field(
        description="Signed share of the surrogate's logit (difference): not what would change without the image."
    )
    specific: float | None = Field(
        description="Signed share of the difference to the average image of the target; with `rank=image`."
    )
    removal_effect: float | None = Field(
        description="Estimated change of the logit (difference) if the image is removed and the surrogate fitted "
        "again; negative: it supports the decision; with `rank=removal`."
    )
    at_bound: bool = Field(description="Whether its dual variable is at its bound C.")
    source: Source
    intercept: float = Field(description="Part of `attribution` due to an augmented intercept; 0 without one.")


class RunNameModel(Model):
    """Which run answers."""

    id: str = Field(examples=["mnist-cnn"])
    digest: str = Field(description="SHA-256 over the run's manifest.")
    title: str


class LabelSumModel(Model):
    """Sum of the contributions of all training images of one label."""

    label: int
    supporting: float
    opposing: float
    n_supporting: int
    n_opposing: int


class SparsityModel(Model):
    """Sparsity of an explanation: both from 0 to 1, higher is sparser."""

    l0: float = Field(description="Share of training samples that contribute less than a millionth of the strongest.")
    hoyer: float


class ContributionColumnsModel(Model):
    """Every training sample with a value in the ranking, strongest first; fields as in `supporting`."""

    index: list[int]
    label: list[int]
    attribution: list[float]
    specific: list[float] | None
    removal_effect: list[float] | None
    at_bound: list[bool]
    intercept: list[float]
    source: list[Source]


EXPLANATION_EXAMPLE: JsonDict = {
    "run": {"id": "mnist-cnn", "title": "MNIST", "digest": "5f0c…"},
    "classes": ["0", "1"],
    "c": 0.001,
    "agreement": 0.99,
    "test": {
        "index": 115,
        "label": 4,
        "predicted": 9,
        "network_logits": [-3.1, 2.4],
        "surrogate_logits": [-1.0, 2.3],
        "source": "test[115]",
    },
    "target": 9,
    "against": None,
    "surrogate_logit": 2.26,
    "rank": "sum",
    "baseline_logit": None,
    "removal_error": None,
    "sum_supporting": 5.21,
    "sum_opposing": -2.95,
    "n_supporting": 96,
    "n_opposing": 47,
    "n_train": 60000,
    "supporting": [
        {
            "index": 24798,
            "label": 9,
            "attribution": 0.64,
            "specific": None,
            "removal_effect": None,
            "at_bound": True,
            "intercept": 0.0,
            "source": "train[24798]",
        }
    ],
    "opposing": [
        {
            "index": 59915,
            "label": 4,
            "attribution": -0.38,
            "specific": None,
            "removal_effect": None,
            "at_bound": False,
            "intercept": 0.0,
            "source": "train[59915]",
        }
    ],
    "intercept": 0.0,
    "sparsity": None,
    "by_class": None,
    "contributions": None,
}


WHOLE = "Only in the page's download and `xda explain --limit all`, which list everything; null here."


class ExplanationModel(Model):
    """The decisive training images of one decision, with exact totals over all of them."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXPLANATION_EXAMPLE]})

    run: RunNameModel
    classes: list[str]
    c: float
    agreement: float = Field(description="Share of test samples on which network and surrogate agree.")
    test: TestSampleModel
    target: int
    against: int | None
    surrogate_logit: float = Field(description="Logit of `target`, minus that of `against` if given.")
    rank: Rank = Field(description="Ranking: sums, numbers and lists are of what it sorts by.")
    baseline_logit: float | None = Field(
        description="Logit (difference) of the mean features of the training images that the network calls `target`; "
        "with `rank=image`, whose sums add up to `surrogate_logit` less this."
    )
    removal_error: float | None = Field(
        description="Bound of the relative error to which the equations of the estimates were solved; 0 where they "
        "were solved directly; with `rank=removal`."
    )
    sum_supporting: float = Field(description="With `rank=removal` negative: what supports would be lost.")
    sum_opposing: float
    n_supporting: int
    n_opposing: int
    n_train: int
    supporting: list[ContributionModel] = Field(description="Strongest first, at most `limit`.")
    opposing: list[ContributionModel] = Field(description="Strongest (most negative) first, at most `limit`.")
    intercept: float = Field(description="Part of `surrogate_logit` due to an augmented intercept; 0 without one.")
    sparsity: SparsityModel | None = Field(description=WHOLE)
    by_class: list[LabelSumModel] | None = Field(description=WHOLE)
    contributions: ContributionColumnsModel | None = Field(description=WHOLE)


class TestInfluenceModel(Model):
    """Contribution of a training sample to the decision on one test image."""

    __test__ = False

    test: int
    label: int
    predicted: int
    attribution: float
    source: Source


class TrainingSampleModel(Model):
    """One training sample: its dual variables, slack, prediction and strongest influences."""

    index: int
    label: int
    predicted: int
    network_logits: list[float]
    c: float
    dual_coef: list[float] = Field(
        description="Its row of dual variables; all zero: without it, this solution stays optimal."
    )
    is_support: bool
    at_bound: bool
    self_influence: float
    slack: float = Field(description="Hinge loss of the surrogate; large if mislabelled, ambiguous or hard.")
    slack_rank: int = Field(description="1 for the largest slack of all training samples.")
    supports: list[TestInfluenceModel]
    opposes: list[TestInfluenceModel]
    source: Source
    copies: list[int] = Field(
        description="Training samples of the same label and features, 20 at most; they share their weight arbitrarily."
    )


class LinkModel(Model):
    """A shared link."""

    id: str = Field(examples=["x3Zk9_aQm1LwT0ve"])
    url: str = Field(description="Absolute address of the shared page.")


class HealthModel(Model):
    """The process is alive."""

    status: Literal["ok"]


class ReadinessModel(Model):
    """The server can answer requests."""

    status: Literal["ready"]
    runs: list[str] = Field(description="Identifiers of the served runs.")
    refused: dict[str, str] = Field(description="Refused runs, each with the reason.")


class VersionModel(Model):
    """Versions of the answering program."""

    name: str
    version: str
    python: str
