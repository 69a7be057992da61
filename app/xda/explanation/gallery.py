"""A filtered, ordered, paged list of test images, with counts for its filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xda.attribution.results import SourceLookup
from xda.decision import Bounds
from xda.errors import InvalidRequestError

GalleryOrder = Literal["index", "margin", "-margin"]


@dataclass(frozen=True, slots=True)
class GalleryFilter:
    """Criteria for the listed test images; ``None`` leaves one out."""

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
    """Number of test images for each choice of each filter, under the other filters."""

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


def check_filter(choice: GalleryFilter, bounds: Bounds) -> None:
    """Raise NotFoundError for an unknown class, InvalidRequestError for an impossible margin."""
    for number in (choice.label, choice.predicted):
        if number is not None:
            bounds.check_class(number)
    if choice.max_margin is not None and not 0.0 <= choice.max_margin <= 1.0:
        raise InvalidRequestError("max_margin is a difference of two probabilities; it must be between 0 and 1.")


class Gallery:
    """Test images of one run under one surrogate.

    Parameters
    ----------
    label, predicted, surrogate_predicted : ndarray of int64, shape (n_test,)
    confidence, margin : ndarray of float64, shape (n_test,)
        Softmax probability of the predicted class, and its lead over the runner-up.
    n_classes : int
    sources : callable, optional
        Returns the sources of test images.
    """

    def __init__(
        self,
        label: NDArray[np.int64],
        predicted: NDArray[np.int64],
        surrogate_predicted: NDArray[np.int64],
        confidence: NDArray[np.float64],
        margin: NDArray[np.float64],
        n_classes: int,
        sources: SourceLookup | None = None,
    ) -> None:
        self._label = label
        self._predicted = predicted
        self._surrogate_predicted = surrogate_predicted
        self._confidence = confidence
        self._margin = margin
        self._n_classes = n_classes
        self._sources = sources

    def page(self, choice: GalleryFilter, order: GalleryOrder, limit: int, cursor: str | None) -> GalleryPage:
        """Return one page of the test images that match.

        Parameters
        ----------
        choice : GalleryFilter
        order : {"index", "margin", "-margin"}
            ``margin`` lists the closest decisions first.
        limit : int
            Images a page.
        cursor : str, optional
            ``next_cursor`` or ``previous_cursor`` of another page; empty or None is the first page.

        Raises
        ------
        InvalidRequestError
            If the cursor does not belong to this list.
        """
        criteria = self._criteria(choice)
        matching = self._ordered(criteria, order)
        start = 0
        if cursor:
            place = np.flatnonzero(matching == int(cursor)) if cursor.isascii() and cursor.isdigit() else np.empty(0)
            if len(place) == 0:
                raise InvalidRequestError(
                    "The cursor does not belong to this list; drop `cursor` to start from its first page."
                )
            start = int(place[0]) + 1
        shown = matching[start : start + limit]
        before = max(0, start - limit)
        return GalleryPage(
            items=tuple(self._item(i) for i in shown.tolist()),
            total=len(matching),
            start=start,
            next_cursor=str(shown[-1]) if start + limit < len(matching) else None,
            previous_cursor=None if start == 0 else "" if before == 0 else str(matching[before - 1]),
            counts=self._counts(criteria),
        )

    def neighbours(self, test: int, choice: GalleryFilter, order: GalleryOrder) -> tuple[int | None, int | None]:
        """Return the test images before and after one in the filtered list (in the whole list if it is not in it)."""
        matching = self._ordered(self._criteria(choice), order)
        place = np.flatnonzero(matching == test)
        if len(place) == 0:
            matching, place = np.arange(len(self._label)), np.array([test])
        k = int(place[0])
        return (
            int(matching[k - 1]) if k > 0 else None,
            int(matching[k + 1]) if k + 1 < len(matching) else None,
        )

    def _ordered(self, criteria: dict[str, NDArray[np.bool_]], order: GalleryOrder) -> NDArray[np.intp]:
        matching = np.flatnonzero(_all(criteria, len(self._label)))
        if order == "index":
            return matching
        key = self._margin[matching]
        return matching[np.argsort(key if order == "margin" else -key, kind="stable")]

    def _item(self, test: int) -> GalleryItem:
        return GalleryItem(
            index=test,
            label=int(self._label[test]),
            predicted=int(self._predicted[test]),
            surrogate_predicted=int(self._surrogate_predicted[test]),
            margin=float(self._margin[test]),
            confidence=float(self._confidence[test]),
            source=None if self._sources is None else self._sources(np.array([test]))[0],
        )

    def _criteria(self, choice: GalleryFilter) -> dict[str, NDArray[np.bool_]]:
        """Return one mask for each criterion that is set."""
        criteria: dict[str, NDArray[np.bool_]] = {}
        if choice.label is not None:
            criteria["label"] = self._label == choice.label
        if choice.predicted is not None:
            criteria["predicted"] = self._predicted == choice.predicted
        if choice.correct is not None:
            criteria["correct"] = (self._label == self._predicted) == choice.correct
        if choice.disagrees is not None:
            criteria["disagrees"] = (self._predicted != self._surrogate_predicted) == choice.disagrees
        if choice.max_margin is not None:
            criteria["max_margin"] = self._margin <= choice.max_margin
        return criteria

    def _counts(self, criteria: dict[str, NDArray[np.bool_]]) -> GalleryCounts:
        n, k = len(self._label), self._n_classes

        def without(*names: str) -> NDArray[np.bool_]:
            return _all({name: mask for name, mask in criteria.items() if name not in names}, n)

        by_correct = without("correct")
        by_fidelity = without("disagrees")
        right = self._label == self._predicted
        faithful = self._predicted == self._surrogate_predicted
        crossed = without("label", "predicted")
        confusion = np.bincount((self._label * k + self._predicted)[crossed], minlength=k * k).reshape(k, k)
        return GalleryCounts(
            label=tuple(np.bincount(self._label[without("label")], minlength=k).tolist()),
            predicted=tuple(np.bincount(self._predicted[without("predicted")], minlength=k).tolist()),
            correct=int(np.count_nonzero(by_correct & right)),
            wrong=int(np.count_nonzero(by_correct & ~right)),
            disagrees=int(np.count_nonzero(by_fidelity & ~faithful)),
            agrees=int(np.count_nonzero(by_fidelity & faithful)),
            confusion=tuple(map(tuple, confusion.tolist())),
        )


def _all(criteria: dict[str, NDArray[np.bool_]], n: int) -> NDArray[np.bool_]:
    """Return where every mask holds, shape (n,)."""
    result = np.ones(n, dtype=bool)
    for mask in criteria.values():
        result &= mask
    return result
