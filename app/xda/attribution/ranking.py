"""Ranks contributions of one sign, strongest first; names the three questions that a list of training images answers.

Each ranking has its own number for a training image i and a decision (target c, contrast e):

* ``sum``: ``tau_i``, its share of the surrogate's logit. A share of the sum is not what would change if the image were
  missing.
* ``image``: ``specific_i``, its share of the difference to the average image that the network calls c.
* ``removal``: ``removal_effect_i``, an estimate of how much the logit changes if the image is removed and the surrogate
  fitted again; negative: the image supports the decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from xda.errors import InvalidRequestError

Sign = Literal["supporting", "opposing"]
SIGNS: Mapping[Sign, int] = {"supporting": 1, "opposing": -1}

Rank = Literal["sum", "image", "removal"]
RANKS: tuple[Rank, ...] = get_args(Rank)
VALUE_NAMES: Mapping[Rank, str] = {"sum": "attribution", "image": "specific", "removal": "removal_effect"}
"""The field of a contribution that each ranking sorts by."""


def check_rank(given: str) -> Rank:
    """Return a ranking by its name; InvalidRequestError if there is none."""
    for known in RANKS:
        if given == known:
            return known
    raise InvalidRequestError(f"rank is {given!r}; it must be {', '.join(RANKS[:-1])} or {RANKS[-1]}.")


def strongest(values: NDArray[np.float64], limit: int, *, sign: int) -> NDArray[np.int64]:
    """Return the positions of the strongest values of one sign, strongest first; ties keep their order.

    Parameters
    ----------
    values : ndarray of float64, shape (m,)
    limit : int
        Largest number of positions returned.
    sign : {1, -1}
        Which sign to rank.

    Returns
    -------
    ndarray of int64, shape (<= limit,)
    """
    candidates = np.flatnonzero(values > 0 if sign > 0 else values < 0)
    magnitude = -np.abs(values[candidates])
    if limit < len(candidates):
        # Keep everything up to and including the boundary value, so that ties are cut by position, not by chance.
        boundary = np.partition(magnitude, limit - 1)[limit - 1] if limit > 0 else -np.inf
        candidates = candidates[magnitude <= boundary]
        magnitude = -np.abs(values[candidates])
    order = np.argsort(magnitude, kind="stable")[:limit]
    return np.asarray(candidates[order], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Ranking:
    """The strongest contributions of one sign, with the exact totals of that sign."""

    position: NDArray[np.integer]
    """Positions within the support set, strongest first."""
    attribution: NDArray[np.float64]
    """Their attributions."""
    total: float
    """Sum over all training samples of this sign."""
    count: int
    """Number of training samples of this sign."""


def rank(
    rows: NDArray[np.int64],
    values: NDArray[np.float64],
    limit: int,
    *,
    sign: int,
    listed: NDArray[np.bool_] | None = None,
) -> Ranking:
    """Rank the contributions of one sign.

    Parameters
    ----------
    rows : ndarray of int64, shape (m,)
        Positions within the support set.
    values : ndarray of float64, shape (m,)
        Their attributions.
    limit : int
        Largest number of contributions listed.
    sign : {1, -1}
    listed : ndarray of bool, shape (m,), optional
        Mask of the contributions that may be listed; the totals are over all.
    """
    top = strongest(values if listed is None else np.where(listed, values, 0.0), limit, sign=sign)
    of_sign = values[values > 0] if sign > 0 else values[values < 0]
    return Ranking(rows[top], values[top], float(of_sign.sum()), len(of_sign))
