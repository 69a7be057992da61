"""Two tables with bars: the logits of network and surrogate by class, and the contributions by training class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from xda.numerals import count, number, terms
from xda.present.story import Story
from xda.web.pages.charts import Bar, bars
from xda.web.pages.controls import Here

MOST_ROWS = 12
"""A table with more classes is cut to those that matter; a sentence counts the others."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A value with its bar."""

    value: str
    bar: Bar
    kind: str
    first: bool = False
    """Whether the value is the largest of its column."""


def column(values: Sequence[float], shown: Sequence[int], kind: str = "", first: int | None = None) -> tuple[Cell, ...]:
    """Return the cells of the shown classes, their bars on one axis; without a kind, the sign gives it."""
    listed = [values[k] for k in shown]
    return tuple(
        Cell(number(value), bar, kind or ("oppose" if value < 0 else "support"), k == first)
        for k, value, bar in zip(shown, listed, bars(listed), strict=True)
    )


@dataclass(frozen=True, slots=True)
class LogitRow:
    """One class, with a value in each column."""

    name: str
    cells: tuple[Cell, ...]
    """In the order of the columns."""
    is_label: bool
    is_target: bool = False
    is_against: bool = False
    url: str | None = None


@dataclass(frozen=True, slots=True)
class ClassRow:
    """Training images of one label."""

    name: str
    url: str | None
    current: bool
    supporting: str
    opposing: str
    support_bar: Bar
    oppose_bar: Bar
    n_supporting: str
    n_opposing: str
    net: str


def softmax(logits: Sequence[float]) -> list[float]:
    """Return the softmax probabilities of logits."""
    top = max(logits)
    weights = [math.exp(value - top) for value in logits]
    whole = sum(weights)
    return [weight / whole for weight in weights]


def logit_rows(
    story: Story, here: Here, against: int | Literal["none"] | None = None
) -> tuple[tuple[LogitRow, ...], str]:
    """Return a row for each class (or for those that matter), and a sentence that counts the others.

    Parameters
    ----------
    story : Story
    here : callable
    against : int or "none", optional
        The contrast in the page's address, which its links keep.
    """
    told = story.explanation
    kept = against if told.against is None else told.against
    test, names = told.test, story.classes
    shown: Sequence[int] = range(len(names))
    if len(names) > MOST_ROWS:
        network = sorted(shown, key=lambda k: -test.network_logits[k])[: MOST_ROWS - 4]
        named = [told.target, test.predicted, test.surrogate_predicted, test.label]
        if told.against is not None:
            named.append(told.against)
        shown = sorted({*network, *named}, key=lambda k: -test.network_logits[k])
    columns = (
        column(test.network_logits, shown, "ink", test.predicted),
        column(test.surrogate_logits, shown, "soft", test.surrogate_predicted),
    )
    rows = tuple(
        LogitRow(
            name=names[k],
            cells=cells,
            is_label=k == test.label,
            is_target=k == told.target,
            is_against=k == told.against,
            url=here(target=k, against=None if kept == k else kept, train_class=None),
        )
        for k, cells in zip(shown, zip(*columns, strict=True), strict=True)
    )
    return rows, _left_out(len(names) - len(rows))


def class_rows(story: Story, here: Here) -> tuple[tuple[ClassRow, ...], str]:
    """Return a row for each label (or the strongest), and a sentence that counts the others."""
    parts = [part for part in story.by_class if part.n_supporting or part.n_opposing]
    if len(parts) > MOST_ROWS:
        parts = sorted(parts, key=lambda part: part.opposing - part.supporting)[:MOST_ROWS]
    supporting, opposing = [part.supporting for part in parts], [part.opposing for part in parts]
    support_bars, oppose_bars = bars(supporting, opposing), bars(opposing, supporting)
    sums = [terms((part.supporting, part.opposing), part.supporting + part.opposing) for part in parts]
    rows = tuple(
        ClassRow(
            name=story.classes[part.label],
            url=here(train_class=part.label),
            current=part.label == story.train_class,
            supporting=sums[place][0][0],
            opposing=sums[place][0][1],
            support_bar=support_bars[place],
            oppose_bar=oppose_bars[place],
            n_supporting=count(part.n_supporting),
            n_opposing=count(part.n_opposing),
            net=_with_plus(sums[place][1], part.supporting + part.opposing),
        )
        for place, part in enumerate(parts)
    )
    contributing = sum(1 for part in story.by_class if part.n_supporting or part.n_opposing)
    return rows, _left_out(contributing - len(rows))


def _with_plus(text: str, value: float) -> str:
    return f"+{text}" if value > 0 and text != "0" else text


def _left_out(n: int) -> str:
    if n <= 0:
        return ""
    return (
        f"{count(n)} more {'class is' if n == 1 else 'classes are'} not listed here; the JSON export has all of them."
    )
