"""One training image of a run against the surrogate's own arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.bars import CPU
from tests.world import C_VALUES
from xda.explanation.fitted_surrogate import ServedSurrogate
from xda.explanation.open_run import OpenRun
from xda.explanation.rankings import TrainingSet
from xda.explanation.training_sample import training_sample
from xda.storage.run.folder import RunFolder

C = C_VALUES[1]


@pytest.fixture(scope="module")
def opened(run_path: Path) -> OpenRun:
    return OpenRun(RunFolder.open(run_path))


@pytest.fixture(scope="module")
def served(opened: OpenRun) -> ServedSurrogate:
    lookup = opened.outcomes.sources["train"].lookup
    predicted = opened.outcomes.predicted["train"]
    training = TrainingSet(opened.train_features, opened.train_labels, predicted, opened.classes)
    return ServedSurrogate(opened.run, C, training, CPU, lookup)


def test_support_vector_has_its_row_and_influences(opened: OpenRun, served: ServedSurrogate) -> None:
    index = int(served.support.index[3])
    sample = training_sample(opened, served, index, 5)
    row = served.support.row(index)
    assert (sample.index, sample.label, sample.c) == (index, int(opened.train_labels[index]), C)
    assert sample.is_support
    assert sample.dual_coef == tuple(row.tolist())
    assert sample.at_bound == bool(row[sample.label] == C)
    z = opened.train_features[index].astype(np.float64)
    assert sample.self_influence == pytest.approx(row[sample.label] * (z @ z), rel=1e-5)
    values = (opened.test_features @ z) * row[opened.outcomes.predicted["test"]]
    strongest = np.argsort(-values)[:5].tolist()
    assert [each.test for each in sample.supports] == [i for i in strongest if values[i] > 0]
    assert [each.attribution for each in sample.supports] == pytest.approx([values[i] for i in strongest], rel=1e-4)
    assert all(each.attribution < 0 for each in sample.opposes)


def test_image_without_weight_moves_no_test_image(opened: OpenRun, served: ServedSurrogate) -> None:
    index = int(np.setdiff1d(np.arange(opened.n_train), served.support.index)[0])
    sample = training_sample(opened, served, index, 5)
    assert not sample.is_support
    assert not sample.at_bound
    assert not any(sample.dual_coef)
    assert (sample.self_influence, sample.supports, sample.opposes) == (0.0, (), ())


def test_no_influences_are_listed_where_none_are_asked_for(opened: OpenRun, served: ServedSurrogate) -> None:
    sample = training_sample(opened, served, int(served.support.index[0]), 0)
    assert (sample.supports, sample.opposes) == ((), ())
    assert sample.self_influence > 0
