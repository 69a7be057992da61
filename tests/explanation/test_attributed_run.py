"""Decisions on a run's test images, and their attributions alone and together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.bars import CPU
from tests.world import C_VALUES
from xda.decision import Decision
from xda.errors import InvalidRequestError, NotFoundError
from xda.explanation.attributed_run import AttributedRun
from xda.storage.run.folder import RunFolder

LOW, HIGH = C_VALUES


@pytest.fixture(scope="module")
def run(run_path: Path) -> AttributedRun:
    return AttributedRun(RunFolder.open(run_path), CPU)


def test_decision_is_the_predicted_class_under_the_default_c(run: AttributedRun) -> None:
    assert run.decide(14) == Decision(14, run.default_c, run.predicted("test", 14), None)
    asked = Decision(3, LOW, 1, 2)
    assert run.decide(asked) == asked
    assert run.decide([3, 4], c=HIGH, target=[1, 2], against=5) == [Decision(3, HIGH, 1, 5), Decision(4, HIGH, 2, 5)]


def test_decision_on_what_is_not_there_is_refused(run: AttributedRun) -> None:
    for asked in (Decision(120, LOW, 1, None), Decision(3, LOW, 10, None)):
        with pytest.raises(NotFoundError):
            run.decide(asked)
    with pytest.raises(InvalidRequestError):
        run.decide(3, target=1, against=1)


def test_attributions_together_equal_each_alone_and_sum_to_the_logits(run: AttributedRun) -> None:
    together = run.attributions([14, 3], c=HIGH, target=[4, 3], against=9).toarray()
    assert together.shape == (2, run.n_train)
    for row, (test, target) in zip(together, ((14, 4), (3, 3)), strict=True):
        alone = run.decompose(test, c=HIGH, target=target, against=9)
        assert row.sum() == pytest.approx(alone.explanation(5).surrogate_logit, rel=1e-6)
        np.testing.assert_allclose(
            np.sort(row[row != 0]), np.sort(alone.attribution[alone.attribution != 0]), rtol=1e-6
        )
