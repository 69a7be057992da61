"""Frozen types that the explorer hands to page, JSON and command line, besides those of ``xda.attribution.results``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Split = Literal["train", "test"]
SPLITS: tuple[Split, Split] = ("train", "test")
GalleryOrder = Literal["index", "margin", "-margin"]


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
    """The contribution, as the list of contributions has it."""
    intercept: float = 0.0
    """Part of it that is due to an augmented intercept, which has no place in an image; 0 without one."""

    def __repr__(self) -> str:
        """Return what a line of a notebook can hold; the maps are in their attributes."""
        height, width = self.test.shape
        apart = f", {self.intercept:.5g} of it from the intercept" if self.intercept else ""
        return (
            f"<PairRelevance of training image {self.train_index}: {height} × {width}, "
            f"attribution {self.attribution:.5g}{apart}>"
        )


@dataclass(frozen=True, slots=True)
class TestInfluence:
    """How one training sample moves the decision on one test image (for the class the network predicts there)."""

    __test__ = False

    test: int
    label: int
    predicted: int
    attribution: float
    source: str | None = None
    """Where the test image came from: its path, or its place in the data set; None where that is not known."""


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """One training sample as the surrogate and the network see it."""

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


@dataclass(frozen=True, slots=True)
class GalleryFilter:
    """Which test images to list; ``None`` leaves a criterion out."""

    label: int | None = None
    predicted: int | None = None
    correct: bool | None = None
    disagrees: bool | None = None
    """Surrogate and network predict different classes."""
    max_margin: float | None = None
    """Upper bound of the network's margin: softmax probability of its class minus that of the runner-up."""


@dataclass(frozen=True, slots=True)
class GalleryItem:
    """One test image in the gallery."""

    index: int
    label: int
    predicted: int
    surrogate_predicted: int
    margin: float
    confidence: float
    source: str | None = None


@dataclass(frozen=True, slots=True)
class GalleryCounts:
    """How many test images each choice of each filter would show, the other filters left as they are."""

    label: tuple[int, ...]
    predicted: tuple[int, ...]
    correct: int
    wrong: int
    disagrees: int
    agrees: int
    confusion: tuple[tuple[int, ...], ...]
    """(K, K) counts, row: label, column: prediction; under the filters other than label and predicted."""


@dataclass(frozen=True, slots=True)
class GalleryPage:
    """One page of the gallery."""

    items: tuple[GalleryItem, ...]
    total: int
    start: int
    """Position of the first item among all that match, from 0."""
    next_cursor: str | None
    previous_cursor: str | None
    """Cursor of the page before; ``""`` is the first page."""
    counts: GalleryCounts
