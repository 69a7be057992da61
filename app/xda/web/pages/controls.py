"""Controls of the pages about one decision: the question, the display of heat-maps, sharing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xda.attribution.results import UNLABELLED, Explanation
from xda.present.colour import Colours
from xda.web.pages.chrome import Choice, Option
from xda.web.urls import Query, fields
from xda.web.view import NO_CONTRAST, View

Fields = tuple[tuple[str, str], ...]
"""Hidden fields of a form."""
Here = Callable[..., str | None]
"""Gives the address of the present page with changes; None if changes are not possible."""

COLOUR_NAMES: tuple[tuple[Colours, str], ...] = (("red-blue", "red – blue"), ("orange-purple", "orange – purple"))


@dataclass(frozen=True, slots=True)
class Ask:
    """The form that asks about another class."""

    action: str | None
    """None if the run is gone."""
    targets: tuple[Option, ...]
    contrasts: tuple[Option, ...]
    keep: Fields


def ask(
    told: Explanation, names: Sequence[str], action: str | None, keep: Query, roles: Sequence[str] | None = None
) -> Ask:
    """Return the form; ``roles`` are words after the names of the targets."""
    wrong = told.test.label not in (told.test.predicted, UNLABELLED)
    return Ask(
        action,
        tuple(Option(str(k), name + (roles[k] if roles else ""), k == told.target) for k, name in enumerate(names)),
        (
            # A wrong decision has a contrast unless another choice is sent.
            Option(NO_CONTRAST if wrong else "", "nothing", told.against is None),
            *(Option(str(k), name, k == told.against) for k, name in enumerate(names)),
        ),
        fields(keep),
    )


@dataclass(frozen=True, slots=True)
class Legend:
    """The colours of the heat-maps, and the controls of their display."""

    colours: Colours
    opacity: int
    one_scale: bool
    colour_choices: tuple[Choice, ...]
    scale_choices: tuple[Choice, ...]
    """The ``note`` of both is the value in the address."""
    action: str | None
    """None if the run is gone."""
    keep: Fields


def legend(view: View, here: Here, action: str | None, keep: Query, one_scale: str = "") -> Legend:
    """Return the controls; ``one_scale`` names the choice of one scale for all, which some pages do not have."""

    def choices(name: str, current: str, options: Sequence[tuple[str, str]]) -> tuple[Choice, ...]:
        return tuple(Choice(label, here(**{name: value}) or "", value == current, value) for value, label in options)

    scales = (("own", "each its own"), ("page", one_scale)) if one_scale else ()
    return Legend(
        view.colours,
        view.opacity,
        view.scale == "page",
        choices("colours", view.colours, COLOUR_NAMES),
        choices("scale", view.scale, scales),
        action,
        fields(keep),
    )


def share(run: str, told: Explanation, view: View, train: int | None = None) -> Fields:
    """Return the form that shares an explanation, or a pair of it."""
    return fields(
        {"run": run, "test": told.test.index, "train": train, **view.sharing(told.c, told.target, told.against)}
    )
