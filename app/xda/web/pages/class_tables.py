"""Two tables with bars: the logits of network and surrogate by class, and the contributions by training class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xda.numerals import count, number, terms
from xda.present.story import Story
from xda.web.pages.charts import Bar, bars
from xda.web.pages.controls import Here

MOST_ROWS = 12
"""A table with more classes is cut to those that matter; a sentence counts the others."""


@dataclass(frozen=True, slots=True)
class LogitRow:
    """One class in the comparison of network and surrogate."""

    name: str
    url: str | None
    network: str
    network_bar: Bar
    network_first: bool
    surrogate: str
    surrogate_bar: Bar
    surrogate_first: bool
    is_label: bool
    is_target: bool
    is_against: bool


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


def logit_rows(story: Story, here: Here) -> tuple[tuple[LogitRow, ...], str]:
    """Return a row for each class (or for those that matter), and a sentence that counts the others."""
    told = story.explanation
    test, names = told.test, story.classes
    shown: Sequence[int] = range(len(names))
    if len(names) > MOST_ROWS:
        network = sorted(shown, key=lambda k: -test.network_logits[k])[: MOST_ROWS - 4]
        named = [told.target, test.predicted, test.surrogate_predicted, test.label]
        if told.against is not None:
            named.append(told.against)
        shown = sorted({*network, *named}, key=lambda k: -test.network_logits[k])
    network_bars = bars([test.network_logits[k] for k in shown])
    surrogate_bars = bars([test.surrogate_logits[k] for k in shown])
    rows = tuple(
        LogitRow(
            name=names[k],
            url=here(target=k, against=None if told.against == k else told.against, train_class=None),
            network=number(test.network_logits[k]),
            network_bar=network_bars[place],
            network_first=k == test.predicted,
            surrogate=number(test.surrogate_logits[k]),
            surrogate_bar=surrogate_bars[place],
            surrogate_first=k == test.surrogate_predicted,
            is_label=k == test.label,
            is_target=k == told.target,
            is_against=k == told.against,
        )
        for place, k in enumerate(shown)
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
