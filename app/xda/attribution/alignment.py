r"""Aligns two decompositions of the same decision and measures their agreement.

In: the decompositions of one test image under two surrogates, and the correspondence of their training samples. Out:
every sample that contributes on either side, once, with both contributions, and figures of agreement.

The scales of two surrogates differ (a small C makes small logits), so contributions are compared by *share*:
:math:`p_i = \tau_i / \sum_j |\tau_j|`, signed, with absolute values that sum to one on each side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xda.attribution.decomposition import Decomposition

TOP = 12
"""Number of contributions of each side that count as "the strongest"."""
NOWHERE = -1
"""Position of a training sample that the other training set does not have."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Figures of agreement between two explanations of the same decision."""

    n_first: int
    """Training samples that contribute on the first side."""
    n_second: int
    n_both: int
    """Training samples that contribute on both sides."""
    n_flipped: int
    """Number of these with opposite signs on the two sides."""
    jaccard: float
    """``n_both`` over the number that contribute on either side (Jaccard index); 1 if none does."""
    shared_weight: float
    """``1 - |p - q|_1 / 2``: share of the weight that lies on the same samples with the same sign (one minus the
    total variation distance); 1 if neither side has any contribution, 0 if only one of them has."""
    pearson: float | None
    """Correlation of the contributions over all samples that contribute on either side, absent ones being 0; None where
    it is not defined (fewer than two samples, or one side is constant)."""
    spearman: float | None
    """Correlation of their signed ranks; equal values share their mean rank."""
    n_top: int
    """Number of strongest samples compared on each side: ``TOP``, or the length of the shorter side."""
    n_top_common: int
    """Number of these samples that both sides share."""


@dataclass(frozen=True, slots=True)
class Change:
    """The difference of the two logits in three parts, which sum to ``second - first`` exactly."""

    both: float
    """Part of the samples that contribute on both sides."""
    only_second: float
    """Part of the samples that contribute on the second side only."""
    only_first: float
    """Part of the samples that contribute on the first side only: minus their contributions."""

    @property
    def total(self) -> float:
        """The logit (difference) on the second side minus that on the first."""
        return self.both + self.only_second + self.only_first


@dataclass(frozen=True, slots=True)
class Matched:
    """All training samples that contribute on either side, largest share on any side first."""

    index: NDArray[np.int64]
    """(n, 2): position in the first and in the second training set; ``NOWHERE`` if it is not in it."""
    attribution: NDArray[np.float64]
    """(n, 2): contribution on each side, 0 where there is none."""
    share: NDArray[np.float64]
    """(n, 2): contribution over the sum of all absolute contributions of its side."""
    agreement: Agreement
    change: Change
    change_of_share: Change
    """The same in shares: the net share of the second side minus that of the first."""

    @property
    def contributes(self) -> NDArray[np.bool_]:
        """Whether a sample contributes on each side, (n, 2)."""
        return np.not_equal(self.attribution, 0.0)

    @property
    def flipped(self) -> NDArray[np.bool_]:
        """Whether a sample supports on one side and opposes on the other, (n,)."""
        return _flipped(self.attribution)


def match(
    first: Decomposition,
    second: Decomposition,
    forward: NDArray[np.int64] | None = None,
    backward: NDArray[np.int64] | None = None,
) -> Matched:
    """Match the contributions of two decompositions by training sample.

    Parameters
    ----------
    first, second : Decomposition
    forward : ndarray of int64, shape (n_train of the first,), optional
        Position of each sample of the first training set in the second, or ``NOWHERE``; None: the two are the same.
    backward : ndarray of int64, shape (n_train of the second,), optional
        The inverse.

    Returns
    -------
    Matched
    """
    n_first = first.n_train
    keys = second.index
    if backward is not None:
        # Samples of the second training set only come after all samples of the first.
        keys = np.where(backward[keys] == NOWHERE, n_first + keys, backward[keys])
    union = np.union1d(first.index, keys)
    values = np.zeros((len(union), 2))
    values[np.searchsorted(union, first.index), 0] = first.attribution
    values[np.searchsorted(union, keys), 1] = second.attribution
    weight = np.abs(values).sum(axis=0)
    share = np.divide(values, weight, out=np.zeros_like(values), where=weight > 0)
    order = np.argsort(-np.abs(share).max(axis=1, initial=0.0), kind="stable")
    union, values, share = union[order], values[order], share[order]
    known = union < n_first
    index = np.stack([np.where(known, union, NOWHERE), np.where(known, union, union - n_first)], axis=1)
    if forward is not None:
        index[known, 1] = forward[union[known]]
    return Matched(
        index=index,
        attribution=values,
        share=share,
        agreement=_agreement(values, share),
        change=_change(values),
        change_of_share=_change(share),
    )


def _agreement(values: NDArray[np.float64], share: NDArray[np.float64]) -> Agreement:
    present = values != 0
    n_first, n_second = present.sum(axis=0).tolist()
    n_both, n_either = int(present.all(axis=1).sum()), len(values)
    n_top = min(TOP, n_first, n_second)
    tops = [set(np.argsort(-np.abs(side), kind="stable")[:n_top].tolist()) for side in values.T]
    both_or_none = bool(n_first) == bool(n_second)
    return Agreement(
        n_first=n_first,
        n_second=n_second,
        n_both=n_both,
        n_flipped=int(_flipped(values).sum()),
        jaccard=n_both / n_either if n_either else 1.0,
        shared_weight=max(0.0, 1.0 - float(np.abs(share[:, 0] - share[:, 1]).sum()) / 2) if both_or_none else 0.0,
        pearson=_correlation(values),
        spearman=_correlation(np.stack([_ranks(side) for side in values.T], axis=1)),
        n_top=n_top,
        n_top_common=len(tops[0] & tops[1]),
    )


def _change(values: NDArray[np.float64]) -> Change:
    first, second = values.T
    both = (first != 0) & (second != 0)
    return Change(
        both=float((second - first)[both].sum()),
        only_second=float(second[~both].sum()),
        only_first=-float(first[~both].sum()),
    )


def _flipped(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    # Compare signs, since the product of two tiny contributions would underflow to zero.
    return np.asarray(np.sign(values).prod(axis=1) < 0)


def _correlation(values: NDArray[np.float64]) -> float | None:
    """Return Pearson's correlation of two columns, (n, 2); None if it is not defined."""
    if len(values) < 2 or np.any(np.ptp(values, axis=0) == 0):
        return None
    # Scale first, since squares of contributions under a tiny C would underflow.
    scaled = values / np.abs(values).max(axis=0)
    return float(np.corrcoef(scaled, rowvar=False)[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks from 1, equal values sharing their mean rank, (n,)."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    return np.asarray((last - (sizes - 1) / 2)[group])
