"""Progress of a fit of several surrogates, measured by the falling gap."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from xda.progress import Progress

STAGE = "Fitting surrogates"


def gap_progress(progress: Progress, cs: Sequence[float], tol: float) -> Callable[[int, float], None]:
    """Return a callback for the solver that reports the fall of each C's gap from 1 to the tolerance.

    Parameters
    ----------
    progress : Progress
    cs : sequence of float
        Regularisation parameters, fitted one after the other.
    tol : float
        Relative gap at which each fit stops.

    Returns
    -------
    callable
        Called as ``callback(sweeps, gap)``.
    """
    finished, last_sweeps, shown = 0, 0, 0

    def report(sweeps: int, gap: float) -> None:
        nonlocal finished, last_sweeps, shown
        if sweeps < last_sweeps:
            finished = min(finished + 1, len(cs) - 1)
        last_sweeps = sweeps
        fallen = math.log(min(1.0, max(gap, tol))) / math.log(tol)
        # The gap may rise for a step; progress never falls.
        shown = max(shown, int(100 * (finished + min(0.99, fallen)) / len(cs)))
        progress(STAGE, shown, 100)

    return report
