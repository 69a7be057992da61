"""The content of an explanation page as one frozen value, which links can store.

In: an open run and a decision. Out: a :class:`Story`; page, shared page, figure and card show it.
:func:`to_snapshot` turns it into plain JSON types and :func:`from_snapshot` back, so that a shared link still shows
what was shared after the run has been rebuilt or taken away.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xda.attribution.decomposition import Decomposition
from xda.attribution.ranking import Rank
from xda.attribution.results import ClassContribution, Contribution, Explanation, Sparsity, TestSample
from xda.decision import Decision

if TYPE_CHECKING:
    from xda.explanation.run import Explainer

CURVE_POINTS = 320
"""Most points of the running sum; the exports hold the exact contributions."""
STRONGEST = 12
"""Number of contributions in the sentence "the 12 strongest carry 61 %"."""

FORMAT = 1
"""Version of the snapshot; older ones stay readable."""


@dataclass(frozen=True, slots=True)
class Story:
    """One explanation with all facts that a page shows of its run."""

    run_id: str
    run_title: str
    run_digest: str
    classes: tuple[str, ...]
    agreement: float
    """Share of all test images for which surrogate and network predict the same class."""
    explanation: Explanation
    n_support: int
    """Support vectors of the surrogate; without the other training images it stays as it is."""
    train_class: int | None
    """Only training images with this label are listed; totals stay over all."""
    by_class: tuple[ClassContribution, ...]
    sparsity: Sparsity
    running_sum: tuple[tuple[int, float], ...]
    """(k, sum of the k strongest contributions of either sign, in the explanation's ranking); the last one is its
    total."""
    share_strongest: float
    """Share of all absolute contributions that the ``STRONGEST`` largest carry."""
    share_listed: float
    """Share of all absolute contributions that the listed ones carry."""

    @property
    def n_contributing(self) -> int:
        """Number of training images with a non-zero contribution."""
        return self.explanation.n_supporting + self.explanation.n_opposing

    @property
    def n_without_effect(self) -> int:
        """Number of training images that are no support vectors: leaving them out leaves the surrogate as it is."""
        return self.explanation.n_train - self.n_support

    @property
    def n_adding_nothing(self) -> int:
        """Number of support vectors whose contribution to this very decision is zero."""
        return self.n_support - self.n_contributing


def running_sum(attribution: NDArray[np.float64], points: int = CURVE_POINTS) -> tuple[tuple[int, float], ...]:
    """Return the running sum of contributions in their order.

    Parameters
    ----------
    attribution : ndarray of shape (n,)
        Strongest first by absolute value.
    points : int
        Most points returned; beyond it their ranks are spread evenly on a logarithmic axis.

    Returns
    -------
    tuple of (int, float)
        Rank k = 1 … n and the sum of the first k; the last rank is always n. Empty without contributions.
    """
    total = np.cumsum(attribution)
    n = len(total)
    if n == 0:
        return ()
    ranks = np.arange(1, n + 1) if n <= points else np.unique(np.geomspace(1, n, points).round().astype(np.int64))
    return tuple((int(k), float(total[k - 1])) for k in ranks)


def tell(
    explainer: Explainer,
    asked: Decision | Decomposition,
    *,
    limit: int = 4,
    train_class: int | None = None,
    rank: Rank = "sum",
) -> Story:
    """Explain one decision or its decomposition; parameters and errors as for ``Explainer.explain``.

    The listed contributions state their effects of removal in every ranking, if that takes no time.

    Returns
    -------
    Story
    """
    if train_class is not None:
        explainer.bounds.check_class(train_class)
    decomposition = explainer.decompose(asked) if isinstance(asked, Decision) else asked
    ready = rank == "removal" or explainer.surrogate(decomposition.decision.c).rankings.at_hand
    explanation = decomposition.explanation(limit, train_class, rank, with_effects=ready)
    values = decomposition.ranked(rank).value
    surrogate = explainer.entry(explanation.c)
    return Story(
        run_id=explainer.id,
        run_title=explainer.title,
        run_digest=explainer.digest,
        classes=tuple(explainer.classes),
        agreement=surrogate.agreement,
        n_support=surrogate.n_support,
        explanation=explanation,
        train_class=train_class,
        by_class=decomposition.by_class_in(rank),
        sparsity=decomposition.sparsity,
        running_sum=running_sum(values),
        share_strongest=share_of_strongest(values, STRONGEST),
        share_listed=_share(
            values, sum(abs(explanation.value(part)) for part in (*explanation.supporting, *explanation.opposing))
        ),
    )


def share_of_strongest(values: NDArray[np.float64], k: int) -> float:
    """Return the share of all absolute values that the first k, the largest, carry; 1.0 if there are none."""
    return _share(values, float(np.abs(values[:k]).sum()))


def _share(values: NDArray[np.float64], part: float) -> float:
    total = float(np.abs(values).sum())
    return min(1.0, part / total) if total > 0 else 1.0


def to_snapshot(story: Story) -> dict[str, Any]:
    """Return a story in plain JSON types."""
    return {"format": FORMAT, **dataclasses.asdict(story)}


def from_snapshot(snapshot: dict[str, Any]) -> Story:
    """Return the story that :func:`to_snapshot` stored.

    Raises
    ------
    KeyError, TypeError
        If the snapshot is not one.
    """
    values = {key: value for key, value in snapshot.items() if key != "format"}
    told = dict(values["explanation"])
    test = dict(told["test"])
    for name in ("network_logits", "surrogate_logits"):
        test[name] = tuple(test[name])
    for side in ("supporting", "opposing"):
        told[side] = tuple(Contribution(**part) for part in told[side])
    return Story(
        **{
            **values,
            "classes": tuple(values["classes"]),
            "explanation": Explanation(**{**told, "test": TestSample(**test)}),
            "by_class": tuple(ClassContribution(**part) for part in values["by_class"]),
            "sparsity": Sparsity(**values["sparsity"]),
            "running_sum": tuple((int(k), float(total)) for k, total in values["running_sum"]),
        }
    )
