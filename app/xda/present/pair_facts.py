"""The numbers of a pair: one training image's contribution to one decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xda.attribution.decomposition import Decomposition

if TYPE_CHECKING:
    from xda.explanation.run import Explainer


@dataclass(frozen=True, slots=True)
class PairFacts:
    """One contribution with its two factors."""

    train: int
    label: int
    attribution: float
    weight: float | None
    """Dual variable of the target, minus that of the contrast class."""
    product: float | None
    """Inner product of the two images' features; None if the weight is zero. (Links that were stored before
    ``intercept`` existed include the constant of an augmented intercept.)"""
    is_support: bool
    """Whether any of its dual variables is not zero; if none is, the surrogate stays as it is without the image."""
    at_bound: bool
    """Whether the dual variable of its own label is at its bound C."""
    rank: int | None
    """Rank among the images of the same sign, 1 for the strongest; None without effect."""
    n_same_sign: int
    stronger: int | None = None
    """The next stronger training image of either sign."""
    weaker: int | None = None
    """The next weaker training image of either sign."""
    intercept: float = 0.0
    """Part of the attribution that is due to an augmented intercept; the heat-maps spread the rest."""
    source: str | None = None
    """Source of the training image; None if unknown."""


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
