"""One training image of a run: its dual variables, slack and prediction, and the test images that it moves most."""

from __future__ import annotations

import numpy as np

from xda.attribution.decomposition import self_influence
from xda.attribution.results import TestInfluence, TrainingSample
from xda.explanation.fitted_surrogate import ServedSurrogate
from xda.explanation.open_run import OpenRun
from xda.runs.copies import copies_of


def training_sample(run: OpenRun, served: ServedSurrogate, index: int, limit: int) -> TrainingSample:
    """Return a training image's dual variables, slack and prediction, and the test images that it moves most.

    Parameters
    ----------
    run : OpenRun
    served : ServedSurrogate
    index : int
        Position in the training set, checked.
    limit : int
        Test images listed of each sign; those without any are not computed.
    """
    outcomes = run.outcomes
    position = served.support.position(index)
    row = served.support.row(index)
    label = int(outcomes.labels["train"][index])
    supports: tuple[TestInfluence, ...] = ()
    opposes: tuple[TestInfluence, ...] = ()
    norm = 0.0
    if position is not None:
        rows = np.array([position], dtype=np.int64)
        norm = float(served.features.products(rows, np.array(run.train_features[index]))[0])
        if limit > 0:
            values = served.influence(position, run.test_features, outcomes.predicted["test"])
            supports, opposes = (outcomes.influences(values, limit, sign) for sign in (1, -1))
    return TrainingSample(
        index=index,
        label=label,
        predicted=int(outcomes.predicted["train"][index]),
        network_logits=tuple(outcomes.logits["train"][index].tolist()),
        c=served.c,
        dual_coef=tuple(row.tolist()),
        is_support=position is not None,
        at_bound=position is not None and bool(served.support.at_bound[position]),
        self_influence=float(self_influence(row[label : label + 1], np.array([norm]))[0]),
        slack=float(served.slack[index]),
        slack_rank=served.slack_rank(index),
        source=outcomes.sources["train"].one(index),
        supports=supports,
        opposes=opposes,
        copies=copies_of(index, outcomes.labels["train"], outcomes.logits["train"], run.train_features),
    )
