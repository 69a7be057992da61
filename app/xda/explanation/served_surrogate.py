"""One surrogate of a run, ready to answer: besides what every fitted surrogate answers, what the run holds of it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from xda.attribution.decomposition import contributions
from xda.attribution.index import SIGNS, AttributionIndex, Sign
from xda.attribution.results import Contribution, SourceLookup
from xda.errors import RunError
from xda.explanation.surrogate import FittedSurrogate, Ranked
from xda.networks.products import DeviceFeatures
from xda.runs.support import read_support
from xda.storage.run import layout
from xda.storage.run.folder import RunFolder


class ServedSurrogate(FittedSurrogate):
    """Answers for one C of a run.

    Parameters
    ----------
    run : RunFolder
    c : float
        One of the run's regularisation parameters.
    train_labels : ndarray of int64, shape (N,)
    device : torch.device
    sources : callable, optional
        Gives where training images came from.

    Attributes
    ----------
    test_logits : ndarray of float64, shape (n_test, K)
    index : AttributionIndex

    Raises
    ------
    RunError
        The arrays of the run do not belong together.
    """

    def __init__(
        self,
        run: RunFolder,
        c: float,
        train_labels: NDArray[np.int64],
        device: torch.device,
        sources: SourceLookup | None = None,
    ) -> None:
        def array(spec: layout.ArraySpec) -> NDArray[np.generic]:
            return np.asarray(run.array(layout.surrogate(c, spec)))

        coef = np.asarray(array(layout.COEF), dtype=np.float64)
        try:
            support = read_support(run.array, c, train_labels, coef.shape[0])
        except ValueError as error:
            raise _damaged(run, c, error) from error
        features = DeviceFeatures(
            run.array(layout.features("train")),
            device,
            offset=layout.intercept_offset(run.manifest.intercept),
            index=support.index,
        )
        super().__init__(c, coef, support, features, np.asarray(array(layout.SLACK), dtype=np.float32), sources)
        self.test_logits = np.asarray(array(layout.TEST_LOGITS), dtype=np.float64)
        self.index = AttributionIndex(
            {name: np.asarray(run.array(layout.index(c, name))) for name in layout.INDEX}, run.manifest.per_sign
        )
        try:
            self.index.check(len(support))
        except ValueError as error:
            raise _damaged(run, c, error) from error

    def lookup(self, test: int, target: int, limit: int) -> Ranked:
        """Read the ranking for the network's prediction from the index.

        Parameters
        ----------
        test : int
        target : int
            What the network predicts there.
        limit : int
            At most ``index.per_sign``.
        """
        entries = {sign: self.index.entry(test, sign) for sign, _ in SIGNS}

        def listed(sign: Sign) -> tuple[Contribution, ...]:
            entry = entries[sign]
            rows = entry.position[:limit]
            values, parts = entry.attribution[:limit], self.intercepts(rows, target, None)
            return contributions(self.support, rows, values, parts, self.sources)

        supporting, opposing = entries["supporting"], entries["opposing"]
        return Ranked(
            supporting=listed("supporting"),
            opposing=listed("opposing"),
            sum_supporting=supporting.total,
            sum_opposing=opposing.total,
            n_supporting=supporting.count,
            n_opposing=opposing.count,
        )


def _damaged(run: RunFolder, c: float, error: ValueError) -> RunError:
    return RunError(
        f"{run.path}: the surrogate of C = {c:g} is damaged: {error}. Copy the run folder again or rebuild it with "
        "`xda build`."
    )
