"""Labels, predictions and logits of all images of a run, for both splits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xda.attribution.ranking import strongest
from xda.attribution.results import TestInfluence, TestSample
from xda.decision import SPLITS, Split
from xda.errors import RunError
from xda.runs.sources import Sources
from xda.storage.run import layout
from xda.storage.run.folder import RunFolder


class Outcomes:
    """The columns of a run that every page needs, in memory; the logits stay memory-mapped.

    Parameters
    ----------
    run : RunFolder

    Attributes
    ----------
    labels, predicted : dict of str to ndarray of int64, shape (N,)
        Label in the data set and class predicted by the network, for each split.
    logits : dict of str to ndarray of float32, shape (N, K)
    sources : dict of str to Sources
        Sources of the images; memory-mapped too.
    """

    def __init__(self, run: RunFolder) -> None:
        self.labels: dict[Split, NDArray[np.int64]] = {}
        self.predicted: dict[Split, NDArray[np.int64]] = {}
        self.logits: dict[Split, NDArray[np.float32]] = {}
        self.sources = {split: Sources(run, split) for split in SPLITS}
        for split in SPLITS:
            table = run.table(layout.table(split), ("label", "predicted"))
            for found, column in ((self.labels, "label"), (self.predicted, "predicted")):
                found[split] = table[column].to_numpy().astype(np.int64)
                _check_classes(run, split, column, found[split])
            self.logits[split] = np.asarray(run.array(layout.logits(split)))

    def test_sample(self, test: int, surrogate_logits: list[float]) -> TestSample:
        """Return the facts about the test image of an explanation.

        Parameters
        ----------
        test : int
        surrogate_logits : list of float

        Returns
        -------
        TestSample
        """
        return TestSample(
            index=test,
            label=int(self.labels["test"][test]),
            predicted=int(self.predicted["test"][test]),
            network_logits=tuple(self.logits["test"][test].tolist()),
            surrogate_logits=tuple(surrogate_logits),
            source=self.sources["test"].one(test),
        )

    def influences(self, values: NDArray[np.float64], limit: int, sign: int) -> tuple[TestInfluence, ...]:
        """Return the test images with the strongest contributions of one sign.

        Parameters
        ----------
        values : ndarray of shape (n_test,)
            Contributions of one training image to the decisions on all test images.
        limit : int
        sign : {1, -1}

        Returns
        -------
        tuple of TestInfluence
            Strongest first.
        """
        listed = strongest(values, limit, sign=sign)
        return tuple(
            TestInfluence(i, int(self.labels["test"][i]), int(self.predicted["test"][i]), float(values[i]), source)
            for i, source in zip(listed.tolist(), self.sources["test"].of(listed), strict=True)
        )


def _check_classes(run: RunFolder, split: Split, column: str, values: NDArray[np.int64]) -> None:
    n_classes = len(run.manifest.classes)
    if values.size and not 0 <= values.min() <= values.max() < n_classes:
        raise RunError(
            f"{run.path}: {layout.table(split)} has values from {values.min()} to {values.max()} under '{column}', but "
            f"the run has {n_classes} classes. Build the run again."
        )
