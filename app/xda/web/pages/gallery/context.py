"""The gallery: a grid of test images, with filters that show the count of each choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xda.explanation.gallery import GalleryPage as Found
from xda.numerals import count, number, percent
from xda.web.pages.chrome import Choice, Chrome, Option, listing_words, origin
from xda.web.pages.gallery.confusion import MOST_MATRIX_CLASSES, Matrix, confusions, matrix
from xda.web.urls import Urls, fields
from xda.web.view import Listing

if TYPE_CHECKING:
    from xda.explanation.run import Explainer

PAGE = 96
"""Test images on one page."""
MARGINS = (0.05, 0.2, 0.5)


@dataclass(frozen=True, slots=True)
class Thumb:
    """One test image."""

    number: str
    url: str
    image: str
    label: str
    predicted: str
    correct: bool
    agrees: bool
    surrogate: str
    source: str
    """Source of the image; empty if it says nothing."""


@dataclass(frozen=True, slots=True)
class GalleryPage:
    """Everything that the gallery template shows."""

    chrome: Chrome
    run_title: str
    accuracy: str
    agreement: str
    action: str
    found: str
    place: str
    items: tuple[Thumb, ...]
    mixed: bool
    """Whether the page mixes right and wrong decisions; it then marks the wrong ones."""
    previous: str | None
    following: str | None
    labels: tuple[Option, ...]
    predictions: tuple[Option, ...]
    correctness: tuple[Choice, ...]
    fidelity: tuple[Choice, ...]
    margins: tuple[Choice, ...]
    orders: tuple[Choice, ...]
    matrix: Matrix | None
    confusions: tuple[Choice, ...]
    active: tuple[Choice, ...]
    """Active filters, each with the address without it."""
    clear: str
    keep: tuple[tuple[str, str], ...]


def build(
    explainer: Explainer, found: Found, listing: Listing, c: float | None, chrome: Chrome, urls: Urls
) -> GalleryPage:
    """Make the page from one page of results.

    Parameters
    ----------
    explainer : Explainer
    found : xda.explanation.gallery.GalleryPage
    listing : Listing
    c : float, optional
        Requested C, None for the default.
    chrome : Chrome
    urls : Urls
    """
    names, run = explainer.classes, explainer.id
    own = {"c": None if c is None else f"{c:g}"}
    chosen, counts, first = listing.choice, found.counts, listing.from_the_start()

    def address(**changes: object) -> str:
        return urls.gallery(run, {**own, **listing.query(**changes)})

    def ordered(order: str) -> str:
        return urls.gallery(run, {**own, **first.query(), "sort": None if order == "index" else order})

    def cursor(value: str | None) -> str | None:
        return None if value is None else urls.gallery(run, {**own, **first.query(), "cursor": value or None})

    def classes(numbers: Sequence[int], current: int | None, everything: str) -> tuple[Option, ...]:
        return (
            Option("", f"{everything} ({count(sum(numbers))})", current is None),
            *(Option(str(k), f"{names[k]} ({count(n)})", k == current) for k, n in enumerate(numbers)),
        )

    def switch(name: str, current: bool | None, yes: tuple[str, int], no: tuple[str, int]) -> tuple[Choice, ...]:
        return (
            Choice("all", address(**{name: None}), current is None, count(yes[1] + no[1])),
            Choice(yes[0], address(**{name: True}), current is True, count(yes[1])),
            Choice(no[0], address(**{name: False}), current is False, count(no[1])),
        )

    page_query = {**own, **listing.query()}
    small = len(names) <= MOST_MATRIX_CLASSES
    surrogate = explainer.entry(c)
    return GalleryPage(
        chrome=chrome,
        run_title=explainer.title,
        accuracy=percent(explainer.run.manifest.network.accuracy, 1),
        agreement=percent(surrogate.agreement, 1),
        action=urls.gallery(run),
        found=f"{count(found.total)} of {count(explainer.n_test)} test images",
        place=f"{count(found.start + 1)} to {count(found.start + len(found.items))}" if found.items else "none",
        items=tuple(
            Thumb(
                number=count(item.index),
                url=urls.explanation(run, item.index, page_query),
                image=urls.image(explainer.digest, "test", item.index, thumb=True),
                label=names[item.label],
                predicted=names[item.predicted],
                correct=item.label == item.predicted,
                agrees=item.predicted == item.surrogate_predicted,
                surrogate=names[item.surrogate_predicted],
                source=origin(item.source, "test", item.index),
            )
            for item in found.items
        ),
        mixed=chosen.correct is None,
        previous=cursor(found.previous_cursor),
        following=cursor(found.next_cursor),
        labels=classes(counts.label, chosen.label, "any label"),
        predictions=classes(counts.predicted, chosen.predicted, "any prediction"),
        correctness=switch("correct", chosen.correct, ("right", counts.correct), ("wrong", counts.wrong)),
        fidelity=switch("disagrees", chosen.disagrees, ("disagrees", counts.disagrees), ("agrees", counts.agrees)),
        margins=(
            Choice("any", address(max_margin=None), chosen.max_margin is None),
            *(Choice(f"≤ {number(m, 1)}", address(max_margin=m), chosen.max_margin == m) for m in MARGINS),
        ),
        orders=tuple(
            Choice(label, ordered(order), listing.order == order)
            for order, label in (("index", "by number"), ("margin", "lowest margin"), ("-margin", "highest margin"))
        ),
        matrix=matrix(counts.confusion, names, listing, address) if small else None,
        confusions=() if small else confusions(counts.confusion, names, listing, address),
        active=tuple(Choice(words, address(**{key: None})) for key, words in listing_words(listing, names)),
        clear=urls.gallery(run, {**own, "sort": listing.query()["sort"]}),
        keep=fields({**own, **first.query(), "label": None, "predicted": None}),
    )
