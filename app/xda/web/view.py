"""The state in a page's query: the requested explanation and its display options.

Empty values count as absent, since a form without JavaScript sends them for open choices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args

from fastapi import Depends, Query, Request

from xda.attribution.ranking import RANKS, Rank
from xda.attribution.results import UNLABELLED
from xda.decision import Decision
from xda.errors import InvalidRequestError
from xda.explanation.gallery import GalleryFilter, GalleryOrder
from xda.present.colour import COLOURS, OPACITY, Colours

if TYPE_CHECKING:
    from xda.explanation.run import Explainer

Scale = Literal["own", "page"]
SCALES: tuple[Scale, ...] = get_args(Scale)
DEFAULT_SHOWN = 4
MORE = (4, 12, 24, 48, 96)
"""Steps of "more": training images of each sign."""
OPACITY_STEP = 5
MOST_REMOVED = 100
"""Most training images chosen for removal."""
MOST = 2**31
"""Larger numbers are refused at once; the run checks whether an image or class exists."""
NO_CONTRAST: Literal["none"] = "none"
OFFERED = " · "
"""Separates number and name of a class in the proposals of a long list."""
ClassParameter = Annotated[str | None, Query(max_length=300)]


@dataclass(frozen=True, slots=True)
class Listing:
    """Filter and order of a gallery's test images; an explanation keeps them for "previous" and "next"."""

    choice: GalleryFilter = field(default_factory=GalleryFilter)
    order: GalleryOrder = "index"
    cursor: str = ""
    """Cursor of the shown page; empty for the first."""

    def query(self, **changes: Any) -> dict[str, object]:
        """Return the query of this listing, or, with changes, of the first page of a changed one.

        Default values are left out.
        """
        choice = replace(self.choice, **changes) if changes else self.choice
        return {
            "label": choice.label,
            "predicted": choice.predicted,
            "correct": choice.correct,
            "disagrees": choice.disagrees,
            "max_margin": None if choice.max_margin is None else f"{choice.max_margin:g}",
            "sort": None if self.order == "index" else self.order,
            "cursor": None if changes or not self.cursor else self.cursor,
        }

    def from_the_start(self) -> Listing:
        """Return this listing at its first page."""
        return replace(self, cursor="")


@dataclass(frozen=True, slots=True)
class View:
    """One state of an explanation or pair page."""

    c: float | None = None
    target: int | None = None
    against: int | Literal["none"] | None = None
    """Contrast class; ``none``: none, even if the network is wrong; None: see ``decision``."""
    train_class: int | None = None
    shown: int = DEFAULT_SHOWN
    """Training images listed of each sign."""
    colours: Colours = "red-blue"
    scale: Scale = "own"
    """Each map is scaled to its own maximum, or all maps of the page to one."""
    opacity: int = OPACITY
    """Opacity of the heat-maps in percent, a multiple of ``OPACITY_STEP``."""
    rank: Rank = "sum"
    remove: tuple[int, ...] = ()
    """Training images chosen for removal, ascending."""
    listing: Listing = Listing()
    """The gallery that led to this page."""

    def query(self, **changes: Any) -> dict[str, object]:
        """Return the query of this state, or of a changed one, without default values."""
        view = replace(self, **changes) if changes else self
        if "c" in changes and view.listing.choice.disagrees is not None:
            # Surrogates disagree on different images, so a page of one list is not a page of the other.
            view = replace(view, listing=view.listing.from_the_start())
        return {
            "c": None if view.c is None else f"{view.c:g}",
            "target": view.target,
            "against": view.against,
            "train_class": view.train_class,
            "show": None if view.shown == DEFAULT_SHOWN else view.shown,
            "map": None if view.colours == "red-blue" else view.colours,
            "scale": None if view.scale == "own" else view.scale,
            "opacity": None if view.opacity == OPACITY else view.opacity,
            "rank": None if view.rank == "sum" else view.rank,
            "remove": ",".join(map(str, view.remove)) or None,
            **view.listing.query(),
        }

    def decision(self, explainer: Explainer, test: int) -> Decision:
        """Return the decision that is asked about; errors as for ``Explainer.decide``.

        Unless asked otherwise, a wrong prediction is contrasted with the label: why dog and not cat.
        """
        against = None if self.against == NO_CONTRAST else self.against
        asked = explainer.decide(test, c=self.c, target=self.target, against=against)
        label = int(explainer.labels("test")[test])
        if self.against is not None or label == UNLABELLED or explainer.predicted("test", test) == label:
            return asked
        return asked if asked.target != explainer.predicted("test", test) else replace(asked, against=label)

    def listed(self) -> dict[str, object]:
        """Return the part of the query that selects the listed training images."""
        return {
            "show": None if self.shown == DEFAULT_SHOWN else self.shown,
            "train_class": self.train_class,
            "rank": None if self.rank == "sum" else self.rank,
        }

    def sharing(self, c: float, target: int, against: int | None) -> dict[str, object]:
        """Return the state that a shared link keeps, with all defaults spelt out."""
        shared = replace(self, c=c, target=target, against=against, remove=(), listing=Listing()).query()
        return {key: value for key, value in shared.items() if value is not None}

    def gallery(self) -> dict[str, object]:
        """Return the query of the unfiltered gallery, at the page that led here if that was unfiltered."""
        listing = self.listing if self.listing.choice == GalleryFilter() else Listing()
        return {"c": None if self.c is None else f"{self.c:g}", **listing.query()}

    def elsewhere(self) -> View:
        """Return the query for another image: it keeps the display options, but not the class in question."""
        return replace(self, target=None, against=None, train_class=None, shown=DEFAULT_SHOWN, remove=())


def integer(name: str, value: str | None, low: int = 0, high: int = MOST, *, known: int | None = None) -> int | None:
    """Read a whole number from a query; ``known`` is the largest existing one, for the message only.

    Raises
    ------
    InvalidRequestError
        The value is not a whole number, or out of range.
    """
    if value is None or not value.strip():
        return None
    text = value.strip()
    if not (text.isascii() and text.isdigit() and len(text) < 12 and low <= int(text) <= high):
        most = known if known is not None else high if high < MOST else None
        span = f", {low} or more" if most is None else f" from {low} to {most:,}"
        raise InvalidRequestError(f"`{name}` is '{text[:40]}'; it must be a whole number{span}.")
    return int(text)


def class_number(name: str, value: str | None, names: Sequence[str]) -> int | None:
    """Read a class from a query: its number, alone or as the page offers it (``281 · tabby cat``), or its name.

    Parameters
    ----------
    name : str
        Name of the parameter, for the message.
    value : str, optional
    names : sequence of str
        Names of the run's classes; empty while they are unknown.

    Raises
    ------
    InvalidRequestError
        The value is none of these, or several classes have this name.
    """
    text = (value or "").strip()
    number, offered, _ = text.partition(OFFERED)
    if not offered:
        alike = [k for k, each in enumerate(names) if each.casefold() == text.casefold()]
        if not text.isdigit() and len(alike) == 1:
            return alike[0]
        if not text.isdigit() and alike:
            several = ", ".join(map(str, alike[:10]))
            raise InvalidRequestError(f"`{name}` is '{text[:40]}', the name of classes {several}; give a number.")
    return integer(name, number if offered else value, known=len(names) - 1 if names else None)


def contrast_class(value: str | None, names: Sequence[str]) -> int | Literal["none"] | None:
    """Read the contrast class from a query: a class as ``class_number`` does, or ``none``."""
    word = (value or "").strip().partition(OFFERED)[0]
    return NO_CONTRAST if word == NO_CONTRAST else class_number("against", value, names)


def chosen_images(values: Sequence[str]) -> tuple[int, ...]:
    """Read training images from a query, ``12,55`` or one value for each, ascending and each once.

    Raises
    ------
    InvalidRequestError
        A value is not a whole number, or there are more than ``MOST_REMOVED``.
    """
    numbers = {integer("remove", part) for value in values for part in value.split(",")[: MOST_REMOVED + 1]}
    found = sorted(number for number in numbers if number is not None)
    if len(found) > MOST_REMOVED:
        raise InvalidRequestError(f"`remove` names more than {MOST_REMOVED} training images; choose fewer.")
    return tuple(found)


def decimal(name: str, value: str | None) -> float | None:
    """Read a finite number from a query.

    Raises
    ------
    InvalidRequestError
        The value is not a finite number.
    """
    if value is None or not value.strip():
        return None
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InvalidRequestError(f"`{name}` is '{value[:40]}'; it must be a number such as 0.001 or 1e-3.")
    return number


def choice(name: str, value: str | None, allowed: tuple[str, ...]) -> str:
    """Read one of several words from a query; the first is the default.

    Raises
    ------
    InvalidRequestError
        The value is none of these words.
    """
    if not value:
        return allowed[0]
    if value not in allowed:
        raise InvalidRequestError(f"`{name}` is '{value[:40]}'; it must be one of: {', '.join(filter(None, allowed))}.")
    return value


def flag(name: str, value: str | None) -> bool | None:
    """Read yes or no from a query.

    Raises
    ------
    InvalidRequestError
        The value is neither ``true`` nor ``false``.
    """
    word = choice(name, value, ("", "true", "false"))
    return None if not word else word == "true"


def class_names(request: Request) -> Sequence[str]:
    """Return the class names of the run in the address; empty while the run is unknown."""
    catalog = request.app.state.lifecycle.open_catalog
    explainer = None if catalog is None else catalog.runs.get(request.path_params.get("run", ""))
    return () if explainer is None else explainer.classes


def read_listing(
    request: Request,
    label: ClassParameter = None,
    predicted: ClassParameter = None,
    correct: Annotated[str | None, Query(max_length=40)] = None,
    disagrees: Annotated[str | None, Query(max_length=40)] = None,
    max_margin: Annotated[str | None, Query(max_length=40)] = None,
    sort: Annotated[str | None, Query(max_length=40)] = None,
    cursor: Annotated[str | None, Query(max_length=40)] = None,
) -> Listing:
    """Read a listing from a query (a FastAPI dependency).

    Raises
    ------
    InvalidRequestError
        If a value cannot be used; the message names it.
    """
    names = class_names(request)
    chosen = GalleryFilter(
        label=class_number("label", label, names),
        predicted=class_number("predicted", predicted, names),
        correct=flag("correct", correct),
        disagrees=flag("disagrees", disagrees),
        max_margin=decimal("max_margin", max_margin),
    )
    return Listing(chosen, cast(GalleryOrder, choice("sort", sort, get_args(GalleryOrder))), cursor or "")


ListingDep = Annotated[Listing, Depends(read_listing)]


def read_view(
    request: Request,
    listing: ListingDep,
    c: Annotated[str | None, Query(max_length=40)] = None,
    target: ClassParameter = None,
    against: ClassParameter = None,
    train_class: ClassParameter = None,
    show: Annotated[str | None, Query(max_length=40)] = None,
    map: Annotated[str | None, Query(max_length=40)] = None,
    scale: Annotated[str | None, Query(max_length=40)] = None,
    opacity: Annotated[str | None, Query(max_length=40)] = None,
    rank: Annotated[str | None, Query(max_length=40)] = None,
    remove: Annotated[list[str] | None, Query(max_length=MOST_REMOVED)] = None,
) -> View:
    """Read a view from a query (a FastAPI dependency).

    Raises
    ------
    InvalidRequestError
        If a value cannot be used; the message names it.
    """
    most = request.app.state.lifecycle.settings.max_page
    percent, names = integer("opacity", opacity, 0, 100), class_names(request)
    return View(
        c=decimal("c", c),
        target=class_number("target", target, names),
        against=contrast_class(against, names),
        train_class=class_number("train_class", train_class, names),
        shown=integer("show", show, 1, most) or min(DEFAULT_SHOWN, most),
        colours=cast(Colours, choice("map", map, COLOURS)),
        scale=cast(Scale, choice("scale", scale, SCALES)),
        opacity=OPACITY if percent is None else percent - percent % OPACITY_STEP,
        rank=cast(Rank, choice("rank", rank, RANKS)),
        remove=chosen_images(remove or ()),
        listing=listing,
    )


ViewDep = Annotated[View, Depends(read_view)]
