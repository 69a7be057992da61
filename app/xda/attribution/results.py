r"""Frozen result types of the attribution, the source of pages, JSON and command line.

Symbols follow the paper: attribution is :math:`\tau_i(x, c) = \alpha_i^c \langle z_i, \varphi(x) \rangle`
(Yolcu et al., TMLR 2025, section 3); with a contrast class e it is :math:`\tau_i(x, c) - \tau_i(x, e)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xda.attribution.contribution_tables import contribution_table, to_pandas
from xda.attribution.ranking import VALUE_NAMES, Rank
from xda.decision import Decision
from xda.numerals import MINUS, addends

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SourceLookup = Callable[[NDArray[np.int64]], Sequence[str | None]]
"""Returns the sources of training images by position; None for an image without a known source."""

UNLABELLED = -1
"""Label of a test image without a known label."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """One training sample's share of a decision."""

    index: int
    """Position in the training set."""
    label: int
    """Label in the data set (possibly a wrong one)."""
    attribution: float
    """Signed share of the surrogate's logit (or logit difference)."""
    at_bound: bool
    """Whether the sample's dual variable is at its bound C."""
    intercept: float = 0.0
    """Part of ``attribution`` that is due to an augmented intercept; it has no place in an image."""
    source: str | None = None
    """Source of the image: its path, or its position in the data set; None if unknown."""
    specific: float | None = None
    """Signed share of the difference to the average image of the target; only in the ranking ``image``."""
    removal_effect: float | None = None
    """Estimated change of the logit (difference) if this sample is removed and the surrogate fitted again; negative:
    the sample supports the decision. In the ranking ``removal``, in others where it was asked for."""


@dataclass(frozen=True, slots=True)
class TestSample:
    """The explained test image, with the predictions of network and surrogate."""

    __test__ = False  # pytest must not collect this class, despite its name

    index: int
    label: int
    """Label in the data set; ``UNLABELLED`` if unknown."""
    predicted: int
    """Class predicted by the network."""
    network_logits: tuple[float, ...]
    surrogate_logits: tuple[float, ...]
    source: str | None = None
    """Source of the image, as in ``Contribution``."""

    def __repr__(self) -> str:
        """Return a short line for notebooks; the attributes hold the logits."""
        return (
            f"<TestSample {self.index}: label {self.label}, predicted {self.predicted}, "
            f"by the surrogate {self.surrogate_predicted}>"
        )

    @property
    def surrogate_predicted(self) -> int:
        """Class predicted by the surrogate."""
        return max(range(len(self.surrogate_logits)), key=self.surrogate_logits.__getitem__)

    @property
    def agrees(self) -> bool:
        """Whether surrogate and network predict the same class."""
        return self.surrogate_predicted == self.predicted


@dataclass(frozen=True, slots=True)
class Explanation:
    """Signed, ranked contributions of training samples to one decision, with exact totals.

    The totals are of what ``rank`` sorts by, over all training samples, also those not listed. Up to floating-point
    rounding, ``sum_supporting + sum_opposing`` is ``surrogate_logit`` for ``sum`` and ``surrogate_logit -
    baseline_logit`` for ``image``. For ``removal`` it is the sum of estimates, one for each sample removed alone; the
    supporting ones are the negative ones. A share of the sum is not what would change if the image were missing.
    """

    c: float
    """Regularisation parameter of the surrogate."""
    test: TestSample
    target: int
    against: int | None
    surrogate_logit: float
    """Logit of the target, or the logit difference target − against."""
    sum_supporting: float
    sum_opposing: float
    n_supporting: int
    n_opposing: int
    n_train: int
    supporting: tuple[Contribution, ...]
    """Strongest first, at most ``limit``."""
    opposing: tuple[Contribution, ...]
    """Strongest (most negative) first, at most ``limit``."""
    intercept: float = 0.0
    """Part of ``surrogate_logit`` that is due to an augmented intercept; the test image's own map sums to the rest."""
    rank: Rank = "sum"
    """The ranking, see ``xda.attribution.ranking``."""
    baseline_logit: float | None = None
    """Logit (difference) of the mean features of the training images that the network calls the target; only in the
    ranking ``image``."""
    removal_error: float | None = None
    """Bound of the relative error to which the equations of the estimates were solved; 0 where they were solved
    directly. Only in the ranking ``removal``."""

    def __repr__(self) -> str:
        """Return a short line for notebooks; ``to_pandas`` shows the contributions."""
        parts = self.sum_supporting, self.sum_opposing
        (supporting, opposing), total = addends(parts, self.total, 5)
        ranked = {"sum": "", "image": ", for this image", "removal": ", estimated effects of removal"}[self.rank]
        line = (
            f"<Explanation of test image {self.test.index}, why {self.decision.classes()}, C={self.c:g}{ranked}: "
            f"{supporting} of {self.n_supporting:,} supporting {opposing} of {self.n_opposing:,} opposing = {total}; "
            f"{len(self.supporting)} + {len(self.opposing)} listed>"
        )
        return line.replace(MINUS, "-")

    @property
    def total(self) -> float:
        """The sum of what is ranked: the logit, its difference to ``baseline_logit``, or the sum of the estimates."""
        return self.surrogate_logit if self.rank == "sum" else self.sum_supporting + self.sum_opposing

    def value(self, part: Contribution) -> float:
        """Return what the ranking sorts a contribution by."""
        return float(getattr(part, VALUE_NAMES[self.rank]))

    @property
    def listed(self) -> list[int]:
        """Positions of the listed training images, supporting ones first."""
        return [part.index for part in (*self.supporting, *self.opposing)]

    @property
    def decision(self) -> Decision:
        """The explained decision."""
        return Decision(self.test.index, self.c, self.target, self.against)

    def to_arrow(self, classes: Sequence[str] | None = None) -> pa.Table:
        """Return the listed contributions as a table, strongest first; see ``xda.attribution.contribution_tables``.

        Parameters
        ----------
        classes : sequence of str, optional
            Names of the classes; adds the column ``class``.
        """
        listed = (*self.supporting, *self.opposing)
        return contribution_table(
            np.array([part.index for part in listed], dtype=np.int64),
            np.array([part.label for part in listed], dtype=np.int64),
            np.array([part.attribution for part in listed], dtype=np.float64),
            np.array([part.at_bound for part in listed], dtype=np.bool_),
            abs(self.sum_supporting - self.sum_opposing),
            classes,
            np.array([part.intercept for part in listed], dtype=np.float64),
            [part.source for part in listed],
            rank=self.rank,
            values=np.array([getattr(part, VALUE_NAMES[self.rank]) for part in listed], dtype=np.float64),
        )

    def to_pandas(self, classes: Sequence[str] | None = None) -> pd.DataFrame:
        """Return ``to_arrow`` as a DataFrame; ConfigError if pandas is not installed."""
        return to_pandas(self.to_arrow(classes))


@dataclass(frozen=True, slots=True)
class ClassContribution:
    """The sum of the contributions of all training samples of one label."""

    label: int
    supporting: float
    opposing: float
    n_supporting: int
    n_opposing: int


@dataclass(frozen=True, slots=True)
class Sparsity:
    """Sparsity of one explanation (method section 2): both in [0, 1], higher is sparser."""

    l0: float
    """Share of training samples with ``|tau_i| / max|tau| < 1e-6``."""
    hoyer: float


@dataclass(frozen=True, slots=True)
class PairRelevance:
    """The two heat-maps of one pair.

    Each sums to ``attribution - intercept``, up to the stabiliser of LRP (method section 4).
    """

    train_index: int
    test: NDArray[np.float32]
    """Relevance on the test image, shape (H, W)."""
    train: NDArray[np.float32]
    """Relevance on the training image, shape (H, W)."""
    attribution: float
    """The contribution, equal to that in the list of contributions."""
    intercept: float = 0.0
    """Part of it that is due to an augmented intercept, which has no place in an image; 0 without one."""

    def __repr__(self) -> str:
        """Return a short line for notebooks; the attributes hold the maps."""
        height, width = self.test.shape
        apart = f", {self.intercept:.5g} of it from the intercept" if self.intercept else ""
        return (
            f"<PairRelevance of training image {self.train_index}: {height} × {width}, "
            f"attribution {self.attribution:.5g}{apart}>"
        )


def difference(pair: PairRelevance, side: PairRelevance) -> NDArray[np.float32]:
    r"""Return how a pair's map on the test image differs from what its side shares.

    :math:`m_i - \tau_i / \sum_j \tau_j \cdot S` with j over the training images of the same sign and
    :math:`S = \sum_j m_j`: the pair's map less its share of the side's map. It sums to zero, as far as maps sum to
    their contributions, and is zero where the pair differs in nothing from its side.

    Parameters
    ----------
    pair : PairRelevance
    side : PairRelevance
        The map of all training images of its sign together.

    Returns
    -------
    ndarray of float32, shape (H, W)
    """
    total = side.attribution - side.intercept
    share = (pair.attribution - pair.intercept) / total if total else 0.0
    return np.asarray(pair.test - np.float32(share) * side.test, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class TestInfluence:
    """Contribution of one training sample to the decision on one test image, for the network's prediction there."""

    __test__ = False

    test: int
    label: int
    predicted: int
    attribution: float
    source: str | None = None
    """Source of the test image: its path, or its position in the data set; None if unknown."""


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """One training sample: its dual variables, slack, prediction and strongest influences."""

    index: int
    label: int
    predicted: int
    network_logits: tuple[float, ...]
    c: float
    dual_coef: tuple[float, ...]
    """Its row of alpha, one entry a class; all zero: without it, this solution of the surrogate stays optimal."""
    is_support: bool
    at_bound: bool
    self_influence: float
    slack: float
    """Hinge loss of the surrogate on this sample; large values point at wrong labels."""
    slack_rank: int
    """1 for the largest slack among the training samples; equal slacks share the best rank."""
    supports: tuple[TestInfluence, ...]
    opposes: tuple[TestInfluence, ...]
    source: str | None = None
    copies: tuple[int, ...] = ()
    """Training samples of the same label and features; they share their weight arbitrarily."""
