"""What there is to say in numbers about one training image's share of one decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xda.attribution.decomposition import Decomposition

if TYPE_CHECKING:
    from xda.explanation.run import Explainer


@dataclass(frozen=True, slots=True)
class PairFacts:
    """One contribution, and what it is the product of."""

    train: int
    label: int
    attribution: float
    weight: float | None
    """Dual variable of the target, minus that of the contrast class."""
    product: float | None
    """Inner product of the two images' features; None where the weight is zero and it was not needed. (In links stored
    before ``intercept`` was, with the constant of an augmented intercept.)"""
    is_support: bool
    """Whether any of its dual variables is not zero; if not, the surrogate stays as it is without it."""
    at_bound: bool
    """Whether the dual variable of its own label is at its bound C."""
    rank: int | None
    """Place among those of the same sign, 1 for the strongest; None without effect."""
    n_same_sign: int
    stronger: int | None = None
    """The training image next before this one by strength, whatever its sign."""
    weaker: int | None = None
    """The one next after it."""
    intercept: float = 0.0
    """Part of the attribution that is due to an augmented intercept; the heat-maps spread the rest."""
    source: str | None = None
    """Where the training image came from; None where that is not known."""


def pair_facts(explainer: Explainer, parts: Decomposition, train: int) -> PairFacts:
    """Return the facts of a pair.

    Parameters
    ----------
    explainer : Explainer
    parts : Decomposition
        Of the decision.
    train : int
        Position in the training set.

    Raises
    ------
    NotFoundError
        If there is no such training image.
    """
    sample = explainer.training_sample(train, c=parts.decision.c, limit=0)
    weight = parts.decision.contrast(sample.dual_coef)
    places = np.flatnonzero(parts.index == train)
    place = int(places[0]) if len(places) else None
    attribution = 0.0 if place is None else float(parts.attribution[place])
    intercept = 0.0 if place is None else float(parts.intercept[place])
    same_sign = np.sign(parts.attribution) == np.sign(attribution)
    return PairFacts(
        train=train,
        label=sample.label,
        attribution=attribution,
        weight=weight,
        product=(attribution - intercept) / weight if weight else None,
        is_support=sample.is_support,
        at_bound=sample.at_bound,
        rank=None if place is None else int(np.count_nonzero(same_sign[: place + 1])),
        n_same_sign=int(np.count_nonzero(same_sign)),
        stronger=int(parts.index[place - 1]) if place else None,
        weaker=int(parts.index[place + 1]) if place is not None and place + 1 < len(parts.index) else None,
        intercept=intercept,
        source=sample.source,
    )
