"""The numbers of a pair: one training image's contribution to one decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xda.attribution.decomposition import Decomposition
from xda.attribution.ranking import Rank

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
    specific: float | None = None
    """Its value in the ranking ``image``; None in others."""
    removal_effect: float | None = None
    """Its estimated effect of removal, if it was asked for or takes no time."""


def pair_facts(explainer: Explainer, parts: Decomposition, train: int, rank: Rank = "sum") -> PairFacts:
    """Return the facts of a pair.

    Parameters
    ----------
    explainer : Explainer
    parts : Decomposition
        Of the decision.
    train : int
        Position in the training set.
    rank : {"sum", "image", "removal"}
        The ranking in which its place and its neighbours are.

    Raises
    ------
    NotFoundError
        If there is no such training image.
    """
    sample = explainer.training_sample(train, c=parts.decision.c, limit=0)
    weight = parts.decision.contrast(sample.dual_coef)
    ranked = parts.ranked(rank)
    places = np.flatnonzero(ranked.index == train)
    place = int(places[0]) if len(places) else None
    value = 0.0 if place is None else float(ranked.value[place])
    shares = np.flatnonzero(parts.index == train)
    attribution = float(parts.attribution[shares[0]]) if len(shares) else 0.0
    intercept = float(parts.intercept[shares[0]]) if len(shares) else 0.0
    same_sign = np.sign(ranked.value) == np.sign(value)
    effect = None
    if rank == "removal" or explainer.surrogate(parts.decision.c).rankings.at_hand:
        effect = parts.predicted_removal([train])
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
        stronger=int(ranked.index[place - 1]) if place else None,
        weaker=int(ranked.index[place + 1]) if place is not None and place + 1 < len(ranked.index) else None,
        intercept=intercept,
        source=sample.source,
        specific=value if rank == "image" else None,
        removal_effect=effect,
    )
