"""Queries of a model in memory: the predicted class or one for each image, and no class against itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xda.decision import Bounds, Decision
from xda.errors import InvalidRequestError, NotFoundError
from xda.explanation.image_queries import Queries, read_queries

CLASSES = ("cat", "dog", "owl")
LOGITS = np.array([[3.0, 1.0, 0.0], [0.0, 1.0, 5.0]], dtype=np.float32)


class Classifier:
    """Answers any images with two rows of logits."""

    def outputs(self, images: object) -> tuple[Any, Any, Any]:
        return np.ones((2, 4), dtype=np.float32), LOGITS, None


def asked(target: Any = None, against: Any = None, c: float | None = None) -> Queries:
    bounds = Bounds("model", 10, 0, 3, (0.5, 1.0), 1.0)
    images = np.zeros((2, 1, 2, 2), dtype=np.float32)
    return read_queries(Classifier(), bounds, CLASSES, images, c, target, against)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "targets"),
    [
        (None, [0, 2]),
        (1, [1, 1]),
        ("owl", [2, 2]),
        ([1, 0], [1, 0]),
        (["dog", "owl"], [1, 2]),
        (np.array([2, 2]), [2, 2]),
    ],
)
def test_targets_are_the_predicted_classes_or_those_asked_for(target: Any, targets: list[int]) -> None:
    found = asked(target)
    assert found.decisions == [Decision(0, 1.0, targets[0], None), Decision(1, 1.0, targets[1], None)]
    assert not found.single
    np.testing.assert_array_equal(found.logits, LOGITS)


def test_contrast_class_may_be_named() -> None:
    for against in ("dog", 1):
        assert [decision.against for decision in asked(against=against, c=0.5).decisions] == [1, 1]
    assert asked(c=0.5).decisions[0].c == 0.5


@pytest.mark.parametrize("target", [[0], [0, 1, 2], 1.0, [0.0, 1.0], [True, 0], [[0, 1]], [None, 1]])
def test_targets_that_are_not_one_class_per_image_are_refused(target: Any) -> None:
    with pytest.raises(InvalidRequestError, match="give one class, or one for each of the 2 images"):
        asked(target)


def test_contrast_with_the_target_itself_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="predicts the contrast class 2 on image 1 itself"):
        asked(against=2)
    with pytest.raises(InvalidRequestError):
        asked([0, 1], against=1)


@pytest.mark.parametrize(("target", "against"), [(3, None), ("bird", None), ([0, -1], None), (0, "bird"), (0, 3)])
def test_class_that_is_not_there_is_not_found(target: Any, against: Any) -> None:
    with pytest.raises(NotFoundError):
        asked(target, against)
