"""A decision's sum in parts that a person can name: net by label for the strongest labels, then what is left.

In: sums by label, supporting and opposing. Out: terms that add up exactly as they are printed, such as
``dog +106, cat −71.5, 7 other labels −0.3, together 34.2``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xda.attribution.results import ClassContribution
from xda.numerals import addends, count

MOST_NAMED = 5
"""Most labels named."""
NEGLIGIBLE = 0.02
"""A label is named if its net is at least this share of the strongest one's."""


@dataclass(frozen=True, slots=True)
class NamedPart:
    """One term of the sum."""

    name: str
    label: int | None
    """None: what is left."""
    value: float
    text: str
    """The value as printed, signed."""


@dataclass(frozen=True, slots=True)
class NamedSum:
    """The terms, strongest first, what is left last; with their sum as printed."""

    parts: tuple[NamedPart, ...]
    total: str


def named_sum(by_class: Sequence[ClassContribution], names: Sequence[str], total: float, digits: int = 3) -> NamedSum:
    """Return a sum by label in few terms.

    Parameters
    ----------
    by_class : sequence of ClassContribution
    names : sequence of str
        Of the classes.
    total : float
        The sum of all contributions.
    digits : int
        Significant digits of the total.
    """
    nets = {each.label: each.supporting + each.opposing for each in by_class if each.n_supporting or each.n_opposing}
    ranked = sorted(nets, key=lambda label: -abs(nets[label]))
    if not ranked:
        return NamedSum((), addends((0.0,), total, digits)[1])
    strong = [label for label in ranked[:MOST_NAMED] if abs(nets[label]) >= NEGLIGIBLE * abs(nets[ranked[0]])]
    rest = ranked[len(strong) :]
    if len(rest) == 1:
        strong, rest = ranked, []
    values = [nets[label] for label in strong] + ([total - sum(nets[label] for label in strong)] if rest else [])
    texts, whole = addends(values, total, digits)
    titles = [names[label] for label in strong] + ([f"{count(len(rest))} other labels"] if rest else [])
    labels = [*strong, *([None] if rest else [])]
    return NamedSum(tuple(map(NamedPart, titles, labels, values, texts)), whole)
