"""The story of an explanation: its figures by definition, and its way through JSON and back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from xda.explanation.run import Explainer
from xda.present import story


def test_running_sum_equals_hand_computation() -> None:
    assert story.running_sum(np.array([3.0, -2.0, 0.5])) == ((1, 3.0), (2, 1.0), (3, 1.5))
    assert story.running_sum(np.array([])) == ()


def test_running_sum_keeps_first_and_last_of_many() -> None:
    values = np.random.default_rng(0).normal(size=5000)
    points = story.running_sum(values, points=50)
    assert len(points) <= 50
    assert points[0] == (1, float(values[0]))
    assert points[-1][0] == 5000
    assert points[-1][1] == pytest.approx(values.sum())
    for rank, total in points:
        assert total == pytest.approx(values[:rank].sum())


def test_shares_equal_the_definition(explainer: Explainer) -> None:
    told = story.tell(explainer, explainer.decide(14, against=9), limit=3)
    parts = np.abs(explainer.decompose(14, against=9).attribution)
    asked = told.explanation
    listed = sum(abs(part.attribution) for part in (*asked.supporting, *asked.opposing))
    assert told.share_strongest == pytest.approx(np.sort(parts)[::-1][: story.STRONGEST].sum() / parts.sum())
    assert told.share_listed == pytest.approx(listed / parts.sum())
    assert told.n_contributing == len(parts)
    assert told.n_without_effect == explainer.n_train - len(explainer.surrogate().support)
    assert told.n_without_effect + told.n_adding_nothing + told.n_contributing == explainer.n_train
    assert told.running_sum[-1][1] == pytest.approx(asked.surrogate_logit, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("against", [None, 9])
def test_snapshot_round_trip_equals_the_story(explainer: Explainer, against: int | None) -> None:
    told = story.tell(explainer, explainer.decide(14, against=against), limit=5, train_class=4)
    stored = json.loads(json.dumps(story.to_snapshot(told)))
    assert story.from_snapshot(stored) == told
