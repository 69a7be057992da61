"""The gallery against a filter written as a plain loop."""

from __future__ import annotations

import numpy as np
import pytest

from xda.errors import InvalidRequestError
from xda.explanation.gallery import Gallery, GalleryFilter, GalleryOrder

N, K = 200, 4
RNG = np.random.default_rng(3)
LABEL = RNG.integers(0, K, N)
PREDICTED = np.where(RNG.random(N) < 0.8, LABEL, RNG.integers(0, K, N))
SURROGATE = np.where(RNG.random(N) < 0.9, PREDICTED, RNG.integers(0, K, N))
MARGIN = RNG.random(N)
GALLERY = Gallery(LABEL, PREDICTED, SURROGATE, (1 + MARGIN) / 2, MARGIN, K)

FILTERS = [
    GalleryFilter(),
    GalleryFilter(label=2),
    GalleryFilter(predicted=1, correct=False),
    GalleryFilter(label=0, predicted=0, disagrees=False),
    GalleryFilter(disagrees=True, max_margin=0.4),
    GalleryFilter(max_margin=0.0),
    GalleryFilter(max_margin=float(MARGIN[11])),
]


def matches(choice: GalleryFilter, i: int) -> bool:
    return (
        (choice.label is None or LABEL[i] == choice.label)
        and (choice.predicted is None or PREDICTED[i] == choice.predicted)
        and (choice.correct is None or (LABEL[i] == PREDICTED[i]) == choice.correct)
        and (choice.disagrees is None or (PREDICTED[i] != SURROGATE[i]) == choice.disagrees)
        and (choice.max_margin is None or MARGIN[i] <= choice.max_margin)
    )


@pytest.mark.parametrize("choice", FILTERS)
@pytest.mark.parametrize("order", ["index", "margin", "-margin"])
def test_gallery_paged_both_ways_lists_each_match_once(choice: GalleryFilter, order: GalleryOrder) -> None:
    expected = [i for i in range(N) if matches(choice, i)]
    if order != "index":
        expected.sort(key=lambda i: MARGIN[i] * (1 if order == "margin" else -1))
    pages = [GALLERY.page(choice, order, 7, None)]
    while pages[-1].next_cursor is not None:
        pages.append(GALLERY.page(choice, order, 7, pages[-1].next_cursor))
    assert [item.index for page in pages for item in page.items] == expected
    assert all(page.total == len(expected) for page in pages)
    assert [page.start for page in pages] == list(range(0, max(1, len(expected)), 7))
    back = pages[-1]
    for page in reversed(pages[:-1]):
        assert back.previous_cursor is not None
        back = GALLERY.page(choice, order, 7, back.previous_cursor)
        assert back.items == page.items
    assert back.previous_cursor is None


@pytest.mark.parametrize("choice", FILTERS)
def test_gallery_counts_equal_filtered_lists(choice: GalleryFilter) -> None:
    from dataclasses import replace

    def count(**change: object) -> int:
        return sum(matches(replace(choice, **change), i) for i in range(N))  # type: ignore[arg-type]

    counts = GALLERY.page(choice, "index", 1, None).counts
    assert counts.label == tuple(count(label=k) for k in range(K))
    assert counts.predicted == tuple(count(predicted=k) for k in range(K))
    assert (counts.correct, counts.wrong) == (count(correct=True), count(correct=False))
    assert (counts.disagrees, counts.agrees) == (count(disagrees=True), count(disagrees=False))
    assert counts.confusion == tuple(tuple(count(label=a, predicted=b) for b in range(K)) for a in range(K))


@pytest.mark.parametrize("cursor", ["x", "-1", "99999999999999999999", "²", "1"])
def test_gallery_foreign_cursor_is_refused(cursor: str) -> None:
    choice = GalleryFilter(label=int((LABEL[1] + 1) % K))
    with pytest.raises(InvalidRequestError, match="cursor"):
        GALLERY.page(choice, "index", 5, cursor)


def test_neighbours_follow_filtered_list_else_the_whole() -> None:
    choice = GalleryFilter(label=1)
    listed = [i for i in range(N) if LABEL[i] == 1]
    assert GALLERY.neighbours(listed[0], choice, "index") == (None, listed[1])
    assert GALLERY.neighbours(listed[3], choice, "index") == (listed[2], listed[4])
    outside = next(i for i in range(5, N) if LABEL[i] != 1)
    assert GALLERY.neighbours(outside, choice, "index") == (outside - 1, outside + 1)
    assert GALLERY.neighbours(N - 1, GalleryFilter(), "index") == (N - 2, None)
