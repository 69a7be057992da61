"""One surrogate of a run, ready to answer: support set, features on the device, index, fidelity."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from xda.attribution.decomposition import attributions, contributions, decompose, strongest
from xda.attribution.index import ARRAYS, SIGNS, AttributionIndex, Sign
from xda.attribution.results import Contribution, Decomposition
from xda.services import layout
from xda.services.served_index import DeviceFeatures
from xda.services.stored_support import read_support
from xda.storage.run_folder import RunFolder


@dataclass(frozen=True)
class Ranked:
    """Ranked contributions with exact totals, before they are joined with what the test image is."""

    supporting: tuple[Contribution, ...]
    opposing: tuple[Contribution, ...]
    sum_supporting: float
    sum_opposing: float
    n_supporting: int
    n_opposing: int


class ServedSurrogate:
    """Answers for one C.

    Parameters
    ----------
    run : RunFolder
    c : float
        One of the run's regularisation parameters.
    train_labels : ndarray of int64, shape (N,)
    device : torch.device
    """

    def __init__(self, run: RunFolder, c: float, train_labels: NDArray[np.int64], device: torch.device) -> None:
        def array(name: str) -> NDArray[np.generic]:
            return np.asarray(run.array(layout.surrogate(c, name)))

        self.c = c
        self.coef = np.asarray(array(layout.COEF), dtype=np.float64)
        self.test_logits = np.asarray(array(layout.TEST_LOGITS), dtype=np.float64)
        self.slack = np.asarray(array(layout.SLACK), dtype=np.float32)
        self.support = read_support(run.array, c, train_labels, self.coef.shape[0])
        self.features = DeviceFeatures(
            run.array(layout.features("train"))[self.support.index],
            device,
            offset=layout.intercept_offset(run.manifest.intercept),
        )
        self.index = AttributionIndex(
            {name: np.asarray(run.array(layout.index(c, name))) for name in ARRAYS}, run.manifest.per_sign
        )

    @cached_property
    def slack_rank(self) -> NDArray[np.int64]:
        """Rank of every training sample by slack, 1 for the largest; equal slacks share the best rank, shape (N,)."""
        return np.asarray(1 + len(self.slack) - np.searchsorted(np.sort(self.slack), self.slack, side="right"))

    def values(
        self, query: NDArray[np.float32], target: int, against: int | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return support vectors (positions) and their attributions to a decision, shapes (m,)."""
        rows, weights = self.support.weights(target, against)
        return rows, attributions(weights, self.features.products(rows, query))

    def decompose(self, query: NDArray[np.float32], target: int, against: int | None) -> Decomposition:
        """Return all non-zero contributions to a decision."""
        return decompose(self.support, *self.values(query, target, against))

    def rank(
        self,
        query: NDArray[np.float32],
        target: int,
        against: int | None,
        limit: int,
        train_class: int | None = None,
    ) -> Ranked:
        """Rank contributions on demand; the totals are over all classes, also where only one is listed."""
        rows, values = self.values(query, target, against)
        listed = np.where(self.support.label[rows] == train_class, values, 0.0) if train_class is not None else values
        tops = [strongest(listed, limit, sign=factor) for _, factor in SIGNS]
        positive, negative = values[values > 0], values[values < 0]
        return Ranked(
            supporting=contributions(self.support, rows[tops[0]], values[tops[0]]),
            opposing=contributions(self.support, rows[tops[1]], values[tops[1]]),
            sum_supporting=float(positive.sum()),
            sum_opposing=float(negative.sum()),
            n_supporting=len(positive),
            n_opposing=len(negative),
        )

    def lookup(self, test: int, limit: int) -> Ranked:
        """Read the ranking for the network's prediction from the index; ``limit`` is at most ``index.per_sign``."""
        entries = {sign: self.index.entry(test, sign) for sign, _ in SIGNS}

        def listed(sign: Sign) -> tuple[Contribution, ...]:
            entry = entries[sign]
            return contributions(self.support, entry.position[:limit], entry.attribution[:limit])

        supporting, opposing = entries["supporting"], entries["opposing"]
        return Ranked(
            supporting=listed("supporting"),
            opposing=listed("opposing"),
            sum_supporting=supporting.total,
            sum_opposing=opposing.total,
            n_supporting=supporting.count,
            n_opposing=opposing.count,
        )
