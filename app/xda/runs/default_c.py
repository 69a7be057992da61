"""The default C, the same on page, API, command line and in a notebook.

The default of a run is the surrogate that agrees best with its network on the test images; among equal ones the
sparsest, which usually has the larger C. A model in memory has no test set, and agreement on the training images says
little, since the surrogate was fitted to them; its default is the middle C.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from xda.storage.run.manifest import SurrogateEntry

CLEAR = 0.01
"""Smallest clear difference of two agreements: one percentage point."""
_ERRORS = 2.0
"""A clear difference also exceeds so many binomial standard errors of two independent shares. The bound is cautious,
since both surrogates are compared on the same images."""


def best(entries: Sequence[SurrogateEntry]) -> SurrogateEntry:
    """Return the surrogate that agrees best with the network on the test images; among equal ones the sparsest."""
    return max(entries, key=lambda entry: (entry.agreement, -entry.n_support, entry.c))


def sparsest(entries: Sequence[SurrogateEntry]) -> SurrogateEntry:
    """Return the surrogate with the fewest support vectors; among equal ones that with the largest C."""
    return min(entries, key=lambda entry: (entry.n_support, -entry.c))


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
