"""Which C is shown where none is asked for, and what is said of each: one place for page, API, command line, notebook.

A run shows the surrogate that agrees best with its network on the test images; of equal ones the sparsest, which as a
rule has the larger C. A model in memory has no test set, and agreement on training images, to which the surrogate was
fitted, says little: it shows the middle C.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from xda.numerals import parameter, percent
from xda.storage.run.manifest import SurrogateEntry

CLEAR = 0.01
"""Smallest difference of two agreements that is called clear: one percentage point."""
_ERRORS = 2.0
"""Binomial standard errors that it must exceed as well, those of two independent shares: a cautious bound, since both
surrogates are asked about the same images."""


def best(entries: Sequence[SurrogateEntry]) -> SurrogateEntry:
    """Return the surrogate that agrees best with the network on the test images; of equal ones the sparsest."""
    return max(entries, key=lambda entry: (entry.agreement, -entry.n_support, entry.c))


def middle(c_values: Sequence[float]) -> float:
    """Return the middle C of ascending ones, the larger of two in the middle: the default without a test set."""
    return c_values[len(c_values) // 2]


def clearly_better(shown: float, entries: Sequence[SurrogateEntry], n_test: int) -> SurrogateEntry | None:
    """Return the best surrogate if it agrees with the network clearly more often than the one shown.

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
    """Return what one surrogate is among the others: ``sparsest``, ``agrees best``, both, or nothing."""
    if len(entries) < 2:
        return ""
    sparsest = entry.c == min(entries, key=lambda each: (each.n_support, -each.c)).c
    return ", ".join(filter(None, ("sparsest" * sparsest, "agrees best" * (entry.c == best(entries).c))))


def words(entry: SurrogateEntry, entries: Sequence[SurrogateEntry]) -> str:
    """Return roles and agreement: ``agrees best 96.8 %``, ``sparsest, 95.1 %``; empty where there are no others."""
    if len(entries) < 2:
        return ""
    told, share = roles(entry, entries), percent(entry.agreement, 1)
    return f"{told}{'' if entry.c == best(entries).c else ','} {share}" if told else share


def advice(shown: float, entries: Sequence[SurrogateEntry], n_test: int) -> str:
    """Return a sentence that another C agrees clearly better than the one shown; empty where none does."""
    other = clearly_better(shown, entries, n_test)
    if other is None:
        return ""
    here = next(entry for entry in entries if entry.c == shown)
    return (
        f"C = {parameter(other.c)} agrees with the network clearly more often: on {percent(other.agreement, 1)} of the "
        f"test images, C = {parameter(shown)} on {percent(here.agreement, 1)}."
    )
