"""Compares the explanations of one test image under two surrogates, of one run or of two.

In: two open runs with a C each and a decision. Out: a frozen :class:`Comparison`: both sides, every training image that
contributes on either, and figures of agreement; page, export and JSON show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from xda.attribution.alignment import Matched, match
from xda.attribution.decomposition import Decomposition
from xda.attribution.results import ClassContribution, Explanation, SourceLookup
from xda.data.geometry import Place
from xda.decision import Decision
from xda.errors import InvalidRequestError
from xda.runs.matching import By, match_runs

if TYPE_CHECKING:
    from xda.explanation.run import Explainer

Only = Literal["all", "both", "first", "second", "flipped"]
ONLY: tuple[Only, ...] = ("all", "both", "first", "second", "flipped")
Order = Literal["strongest", "change"]
ORDERS: tuple[Order, ...] = ("strongest", "change")
Presence = Literal["contributes", "adds nothing", "without effect", "absent"]
"""State of a training image on one side: it contributes; it is a support vector that adds zero to this logit; its row
of dual variables is zero; or it is not in the training set."""
PRESENCES: tuple[Presence, ...] = ("contributes", "adds nothing", "without effect", "absent")


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two surrogates with its explanation of the decision."""

    run_id: str
    run_title: str
    run_digest: str
    explanation: Explanation
    """Without listed contributions; totals and counts are over all."""
    n_support: int
    agreement: float
    """Share of all test images for which surrogate and network predict the same class."""
    accuracy: float
    """Share of all test images that the network classifies as labelled."""
    relative_gap: float
    by_class: tuple[ClassContribution, ...]
    no_heatmaps: str
    """Reason why the run has no heat-maps; empty if it has them."""
    place: Place
    """Place of the heat-map on the test image; each network may see another part."""


@dataclass(frozen=True, slots=True)
class ComparedImage:
    """One training image on both sides; the first entry of each pair is that of the first side."""

    index: tuple[int | None, int | None]
    """Position in each training set; None if that lacks the image."""
    label: tuple[int | None, int | None]
    attribution: tuple[float, float]
    share: tuple[float, float]
    """Signed share of all that is added and taken away on each side."""
    presence: tuple[Presence, Presence]
    flipped: bool
    """Whether it supports on one side and opposes on the other."""
    source: tuple[str | None, str | None] = (None, None)
    """Its source as recorded in each run."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two explanations of the same decision, contributions matched by training image."""

    classes: tuple[str, ...]
    sides: tuple[Side, Side]
    matched: Matched
    matched_by: By
    n_common: int
    """Training images that both training sets have."""
    presence: NDArray[np.int8]
    """(n, 2): position in ``PRESENCES`` for each image of ``matched``."""
    label: NDArray[np.int64]
    """(n, 2): label in each data set; -1 if that lacks the image."""
    lookups: tuple[SourceLookup, SourceLookup]
    """Sources of training images, for each side."""

    @property
    def target(self) -> int:
        """The class that is explained on both sides."""
        return self.sides[0].explanation.target

    @property
    def against(self) -> int | None:
        """The contrast class."""
        return self.sides[0].explanation.against

    @property
    def n_relabelled(self) -> int:
        """Number of contributing images with different labels on the two sides."""
        return int(np.count_nonzero((self.label[:, 0] != self.label[:, 1]) & (self.label >= 0).all(axis=1)))

    def counts(self) -> dict[Only, int]:
        """Return how many images each choice of ``only`` lists."""
        return {only: len(self._chosen(only)) for only in ONLY}

    def images(
        self, only: Only = "all", order: Order = "strongest", limit: int | None = None
    ) -> tuple[ComparedImage, ...]:
        """Return training images that contribute on either side.

        Parameters
        ----------
        only : {"all", "both", "first", "second", "flipped"}
            Those on both sides, on one side only, or with opposite signs.
        order : {"strongest", "change"}
            The largest share on any side first, or the largest change of share.
        limit : int, optional
            Most images returned.
        """
        rows = self._chosen(only)
        if order == "change":
            share = self.matched.share[rows]
            rows = rows[np.argsort(-np.abs(share[:, 1] - share[:, 0]), kind="stable")]
        rows = rows[:limit]
        matched = self.matched
        sources = (self._sources(rows, 0), self._sources(rows, 1))
        return tuple(
            ComparedImage(
                index=(_known(index[0]), _known(index[1])),
                label=(_known(label[0]), _known(label[1])),
                attribution=(attribution[0], attribution[1]),
                share=(share[0], share[1]),
                presence=(PRESENCES[presence[0]], PRESENCES[presence[1]]),
                flipped=flipped,
                source=source,
            )
            for index, label, attribution, share, presence, flipped, source in zip(
                matched.index[rows].tolist(),
                self.label[rows].tolist(),
                matched.attribution[rows].tolist(),
                matched.share[rows].tolist(),
                self.presence[rows].tolist(),
                matched.flipped[rows].tolist(),
                zip(*sources, strict=True),
                strict=True,
            )
        )

    def _sources(self, rows: NDArray[np.intp], side: int) -> list[str | None]:
        index = self.matched.index[rows, side]
        known = np.flatnonzero(index >= 0)
        found: list[str | None] = [None] * len(rows)
        for place, source in zip(known.tolist(), self.lookups[side](index[known]), strict=True):
            found[place] = source
        return found

    def _chosen(self, only: Only) -> NDArray[np.intp]:
        first, second = self.matched.contributes.T
        mask = {
            "all": first | second,
            "both": first & second,
            "first": first & ~second,
            "second": second & ~first,
            "flipped": self.matched.flipped,
        }[only]
        return np.flatnonzero(mask)


def opponents(explainer: Explainer, runs: Mapping[str, Explainer]) -> tuple[Explainer, ...]:
    """Return the served runs to compare a run with: first those over the same data, then the run itself.

    Runs over other data with the same classes come last: only the comparison finds out whether their images match.
    """
    data = explainer.run.manifest.dataset.fingerprint
    others = [run for run in runs.values() if run.id != explainer.id and run.classes == explainer.classes]
    same = [run for run in others if run.run.manifest.dataset.fingerprint == data]
    return (*same, explainer, *(run for run in others if run not in same))


def other_side(
    explainer: Explainer, c: float | None, runs: Mapping[str, Explainer], other: Explainer | None, other_c: float | None
) -> tuple[Explainer, float]:
    """Return the run and the C to compare with; by default the most telling ones.

    These are another run over the same data under the same C; without one, the next larger C of the same run, or the
    next smaller.

    Parameters
    ----------
    explainer : Explainer
        The first side.
    c : float, optional
        Its C; None for its default.
    runs : mapping of str to Explainer
        All served runs.
    other : Explainer, optional
        The requested run.
    other_c : float, optional
        The requested C.

    Raises
    ------
    NotFoundError
        If a run has no such C.
    InvalidRequestError
        If there is nothing to compare with.
    """
    here = explainer.bounds.resolve_c(c)
    if other_c is not None:
        chosen = other or explainer
        return chosen, chosen.bounds.resolve_c(other_c)
    place = explainer.c_values.index(here)
    neighbours = (*explainer.c_values[place + 1 : place + 2], *explainer.c_values[:place][-1:])
    candidates = [run for run in opponents(explainer, runs) if neighbours or run.id != explainer.id]
    chosen = other or (candidates[0] if candidates else explainer)
    if chosen.id != explainer.id:
        return chosen, here if here in chosen.c_values else chosen.default_c
    if not neighbours:
        raise InvalidRequestError(
            f"Run '{explainer.id}' has only one C, and no other run over its data is served; to compare, build it "
            "with several C or serve another run beside it."
        )
    return explainer, neighbours[0]


def compare(first: Explainer, second: Explainer, decision: Decision, other_c: float | None = None) -> Comparison:
    """Explain a decision under two surrogates and match the contributions.

    Parameters
    ----------
    first, second : Explainer
        May be the same run.
    decision : Decision
        Resolved by the first side; the second one explains the same classes.
    other_c : float, optional
        Surrogate of the second side; default that of its run.

    Raises
    ------
    NotFoundError
        If there is no such test image, class or C.
    InvalidRequestError
        If the runs cannot be compared (see ``match_runs``), or the contrast class is the target.
    """
    second.bounds.check_image("test", decision.test)
    matching = match_runs(first.run, second.run, decision.test)
    asked = ((first, decision), (second, replace(decision, c=second.bounds.resolve_c(other_c))))
    parts = [run.decompose(each) for run, each in asked]
    matched = match(parts[0], parts[1], matching.forward, matching.backward)
    sides = [_side(run, part) for (run, _), part in zip(asked, parts, strict=True)]
    presence = [_presence(run, each.c, matched, k) for k, (run, each) in enumerate(asked)]
    label = [_labels(run, matched.index[:, k]) for k, (run, _) in enumerate(asked)]
    return Comparison(
        classes=first.classes,
        sides=(sides[0], sides[1]),
        matched=matched,
        matched_by=matching.by,
        n_common=matching.n_common,
        presence=np.stack(presence, axis=1),
        label=np.stack(label, axis=1),
        lookups=(first.outcomes.sources["train"].of, second.outcomes.sources["train"].of),
    )


def _side(run: Explainer, parts: Decomposition) -> Side:
    entry = run.entry(parts.decision.c)
    return Side(
        run_id=run.id,
        run_title=run.title,
        run_digest=run.digest,
        explanation=parts.explanation(0),
        n_support=entry.n_support,
        agreement=entry.agreement,
        accuracy=run.run.manifest.network.accuracy,
        relative_gap=entry.certificate.relative_gap,
        by_class=parts.by_class,
        no_heatmaps=run.no_heatmaps,
        place=run.images.place("test", parts.decision.test),
    )


def _presence(run: Explainer, c: float, matched: Matched, side: int) -> NDArray[np.int8]:
    """Return the state of each image on one side, as positions in ``PRESENCES``, (n,)."""
    index = matched.index[:, side]
    support = run.surrogate(c).support.index
    is_support = np.isin(index, support)
    found = np.select([matched.contributes[:, side], is_support, index >= 0], [0, 1, 2], 3)
    return found.astype(np.int8)


def _labels(run: Explainer, index: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(index >= 0, run.labels("train")[np.maximum(index, 0)], -1)


def _known(value: int) -> int | None:
    return value if value >= 0 else None
