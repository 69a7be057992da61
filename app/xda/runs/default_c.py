"""The default C and the description of each C, the same on page, API, command line and in a notebook.

The default of a run is the surrogate that agrees best with its network on the test images; among equal ones the
sparsest, which usually has the larger C. A model in memory has no test set, and agreement on the training images says
little, since the surrogate was fitted to them; its default is the middle C.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from xda.numerals import parameter, percent
from xda.storage.run.manifest import SurrogateEntry

CLEAR = 0.01
"""Smallest clear difference of two agreements: one percentage point."""
_ERRORS = 2.0
"""A clear difference also exceeds so many binomial standard errors of two independent shares. The bound is cautious,
since both surrogates are compared on the same images."""


def best(entries: Sequence[SurrogateEntry]) -> SurrogateEntry:
    """Return the surrogate that agrees best with the network on the test images; among equal ones the sparsest."""
    return max(entries, key=lambda entry: (entry.agreement, -entry.n_support, entry.c))


def middle(c_values: Sequence[float]) -> float:
    """Return the middle of ascending C, the larger of two middle ones: the default without a test set."""
    return c_values[len(c_values) // 2]


def clearly_better(shown: float, entries: Sequence[SurrogateEntry], n_test: int) -> SurrogateEntry | None:
    """Return the best surrogate if it agrees with the network clearly more often than the shown one.

    Clearly: by at least ``CLEAR``, and by two standard errors of the difference of two binomial shares.

    Parameters
    ----------
    shown : float
        C of the surrogate shown.
    entries : sequence of SurrogateEntry
        All surrogates of the run.
    n_test : int
        Number of test images.

    Returns
    -------
    SurrogateEntry or None
    """
    here = next(entry for entry in entries if entry.c == shown)
    other = best(entries)
    variance = sum(entry.agreement * (1 - entry.agreement) for entry in (here, other)) / max(1, n_test)
    difference = other.agreement - here.agreement
    return other if difference >= CLEAR and difference > _ERRORS * math.sqrt(variance) else None


def roles(entry: SurrogateEntry, entries: Sequence[SurrogateEntry]) -> str:
    """Return the distinctions of one surrogate among the others: ``sparsest``, ``agrees best``, both, or none."""
    if len(entries) < 2:
        return ""
    sparsest = entry.c == min(entries, key=lambda each: (each.n_support, -each.c)).c
    return ", ".join(filter(None, ("sparsest" * sparsest, "agrees best" * (entry.c == best(entries).c))))


def words(entry: SurrogateEntry, entries: Sequence[SurrogateEntry]) -> str:
    """Return roles and agreement: ``agrees best 96.8 %``, ``sparsest, 95.1 %``; empty if there is only one C."""
    if len(entries) < 2:
        return ""
    told, share = roles(entry, entries), percent(entry.agreement, 1)
    return f"{told}{'' if entry.c == best(entries).c else ','} {share}" if told else share


def advice(shown: float, entries: Sequence[SurrogateEntry], n_test: int) -> str:
    """Return a sentence if another C agrees clearly better than the shown one; else an empty text."""
    other = clearly_better(shown, entries, n_test)
    if other is None:
        return ""
    here = next(entry for entry in entries if entry.c == shown)
    return (
        f"C = {parameter(other.c)} agrees with the network clearly more often: on {percent(other.agreement, 1)} of the "
        f"test images, C = {parameter(shown)} on {percent(here.agreement, 1)}."
    )
