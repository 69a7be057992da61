"""Labels, predictions and logits of a run in memory, and a run whose table names a class that it does not have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.world import World
from xda.errors import RunError
from xda.runs import outcomes
from xda.runs.outcomes import Outcomes
from xda.storage.run.folder import RunFolder


@pytest.fixture(scope="module")
def run(run_path: Path) -> RunFolder:
    return RunFolder.open(run_path)


@pytest.fixture(scope="module")
def found(run: RunFolder) -> Outcomes:
    return Outcomes(run)


def test_outcomes_have_labels_of_the_data_and_predictions_of_the_logits(found: Outcomes, world: World) -> None:
    np.testing.assert_array_equal(found.labels["train"], world.dataset.train.labels)
    np.testing.assert_array_equal(found.labels["test"], world.dataset.test.labels)
    for split in ("train", "test"):
        np.testing.assert_array_equal(found.predicted[split], found.logits[split].argmax(axis=1))


def test_test_sample_tells_the_facts_of_its_image(found: Outcomes) -> None:
    sample = found.test_sample(14, [0.5] * 10)
    assert (sample.index, sample.label, sample.predicted) == (14, 4, int(found.predicted["test"][14]))
    assert sample.network_logits == tuple(found.logits["test"][14].tolist())
    assert sample.surrogate_logits == (0.5,) * 10


def test_influences_are_strongest_first_and_of_one_sign(found: Outcomes) -> None:
    values = np.zeros(120)
    values[[3, 50, 7, 8]] = [1.0, 3.0, -2.0, -4.0]
    supporting, opposing = found.influences(values, 5, 1), found.influences(values, 5, -1)
    assert [(each.test, each.label, each.attribution) for each in supporting] == [(50, 0, 3.0), (3, 3, 1.0)]
    assert [(each.test, each.label, each.attribution) for each in opposing] == [(8, 8, -4.0), (7, 7, -2.0)]
    assert [each.test for each in found.influences(values, 1, 1)] == [50]


@pytest.mark.parametrize("values", [[0, 10], [-1, 9]])
def test_class_that_the_run_does_not_have_is_refused(run: RunFolder, values: list[int]) -> None:
    with pytest.raises(RunError, match=r"values from .* under 'label', but the run has 10 classes"):
        outcomes._check_classes(run, "test", "label", np.array(values))
    outcomes._check_classes(run, "test", "label", np.array([0, 9]))
    outcomes._check_classes(run, "test", "label", np.array([], dtype=np.int64))
