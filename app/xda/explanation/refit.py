"""Measures what an estimate predicts: fits the surrogate again without some training images, and asks it once more.

The refit starts from the solution at hand, in memory; a run folder is not touched.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xda.attribution.decomposition import Decomposition
from xda.decision import Decision
from xda.errors import InvalidRequestError
from xda.explanation.fitted_surrogate import FittedSurrogate


@dataclass(frozen=True, slots=True)
class MeasuredRemoval:
    """A decision before and after training images are removed, for the surrogate; the network is not trained again."""

    decision: Decision
    removed: tuple[int, ...]
    """Positions in the training set, ascending."""
    logits_before: tuple[float, ...]
    """Logits of the surrogate, one for each class."""
    logits_after: tuple[float, ...]
    estimate: float
    """Predicted change: the sum of the removal effects."""
    relative_gap: float
    """Relative duality gap of the refit."""
    converged: bool
    """Whether the refit reached the tolerance of the first fit."""
    seconds: float
    """Wall-clock time of the refit."""

    def __repr__(self) -> str:
        """Return the change and its estimate, for the end of a notebook's cell."""
        count = len(self.removed)
        return (
            f"<{type(self).__name__}: without {count:,} training image{'s'[: count != 1]} "
            f"{self.before:.5g} becomes {self.after:.5g}, {self.change:+.3g}; estimate {self.estimate:+.3g}; "
            f"gap {self.relative_gap:.1e}, {self.seconds:.2f} s>"
        )

    @property
    def before(self) -> float:
        """Logit (difference) of the decision with all training images."""
        return float(self.decision.contrast(self.logits_before))

    @property
    def after(self) -> float:
        """Logit (difference) of the decision without the removed ones."""
        return float(self.decision.contrast(self.logits_after))

    @property
    def change(self) -> float:
        """The measured effect of the removal."""
        return self.after - self.before

    @property
    def predicted_after(self) -> int:
        """Class that the refitted surrogate predicts."""
        return max(range(len(self.logits_after)), key=self.logits_after.__getitem__)


def refit_without(
    surrogate: FittedSurrogate, removed: Sequence[int], tol: float
) -> tuple[NDArray[np.float64], float, bool]:
    """Fit a surrogate again without some training samples, from its present solution.

    Parameters
    ----------
    surrogate : FittedSurrogate
    removed : sequence of int
        Positions in the training set.
    tol : float
        Relative duality gap to reach.

    Returns
    -------
    coef : ndarray of float64, shape (K, d), or (K, d + 1) with an augmented intercept
    relative_gap : float
    converged : bool

    Raises
    ------
    InvalidRequestError
        No training sample is left.
    """
    # Imported here, since a run is explained without the solver's libraries.
    from xda.surrogate.solver import Start, solve

    support, training = surrogate.support, surrogate.training
    included = np.ones(len(training.labels), dtype=np.bool_)
    included[np.asarray(removed, dtype=np.int64)] = False
    if not included.any():
        raise InvalidRequestError("All training images would be removed; leave at least one.")
    kept = included[support.index]
    solution = solve(
        training.features,
        training.labels,
        surrogate.c,
        n_classes=support.n_classes,
        tol=tol,
        augment=bool(surrogate.features.offset),
        included=included,
        start=Start(support.index[kept], support.dual_coef.toarray()[kept]),
    )
    return solution.coef, solution.certificate.relative_gap, solution.certificate.converged


def measure_removal(
    surrogate: FittedSurrogate, parts: Decomposition, query: NDArray[np.float32], removed: Sequence[int], tol: float
) -> MeasuredRemoval:
    """Measure the effect of removing training samples on one decision.

    Parameters
    ----------
    surrogate : FittedSurrogate
        That of the decision.
    parts : Decomposition
        Of the decision.
    query : ndarray of float32, shape (d,)
        phi of the image.
    removed : sequence of int
        Positions in the training set, checked. Samples without a dual row change nothing and cost nothing.
    tol : float
        Relative duality gap to reach.
    """
    chosen = tuple(sorted(set(map(int, removed))))
    start = time.perf_counter()
    coef, gap, converged = surrogate.coef, 0.0, True
    if np.isin(surrogate.support.index, np.asarray(chosen, dtype=np.int64)).any():
        coef, gap, converged = refit_without(surrogate, chosen, tol)
    seconds = time.perf_counter() - start
    long = np.append(query.astype(np.float64), np.ones(coef.shape[1] - len(query)))
    return MeasuredRemoval(
        decision=parts.decision,
        removed=chosen,
        logits_before=tuple((surrogate.coef @ long).tolist()),
        logits_after=tuple((coef @ long).tolist()),
        estimate=parts.predicted_removal(chosen),
        relative_gap=gap,
        converged=converged,
        seconds=seconds,
    )
