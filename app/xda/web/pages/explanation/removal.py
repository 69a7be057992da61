"""The selection on the explanation page: what the decision would be without the chosen training images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xda.attribution.decomposition import Decomposition
from xda.present.words import estimate_in_words, measured_in_words
from xda.web.pages.controls import Fields, Here
from xda.web.urls import Urls, fields
from xda.web.view import View

if TYPE_CHECKING:
    from xda.attribution.results import Explanation
    from xda.explanation.refit import MeasuredRemoval


@dataclass(frozen=True, slots=True)
class Unlisted:
    """A chosen training image that is not among the listed ones; the form sends it all the same."""

    index: int
    url: str
    """Address of the page without it in the selection."""


@dataclass(frozen=True, slots=True)
class Removal:
    """The form of the selection, with the estimate and, if it was asked for, the measurement."""

    action: str
    keep: Fields
    """The rest of the page's state."""
    n: int
    estimate: str
    """Empty if nothing is chosen."""
    measured: str
    """Empty unless it was asked for."""
    unlisted: tuple[Unlisted, ...]
    clear: str
    """Address of the page with an empty selection."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Numbers about the selection."""

    estimate: float
    measured: MeasuredRemoval | None = None


def estimated(parts: Decomposition, view: View) -> Answer | None:
    """Return the estimated effect of the chosen training images together; None without any."""
    return Answer(parts.predicted_removal(view.remove)) if view.remove else None


def removal_panel(
    told: Explanation, names: Sequence[str], run: str, view: View, urls: Urls, here: Here, answer: Answer | None
) -> Removal:
    """Return the form of the selection; ``answer`` is None if nothing is chosen."""

    def without(index: int) -> str:
        return here(remove=tuple(each for each in view.remove if each != index)) or ""

    listed = set(told.listed)
    n = len(view.remove)
    return Removal(
        action=urls.explanation(run, told.test.index),
        keep=fields(view.query(remove=())),
        n=n,
        estimate="" if answer is None else estimate_in_words(told, names, n, answer.estimate),
        measured="" if answer is None or answer.measured is None else measured_in_words(answer.measured, names),
        unlisted=tuple(Unlisted(index, without(index)) for index in view.remove if index not in listed),
        clear=here(remove=()) or "",
    )
