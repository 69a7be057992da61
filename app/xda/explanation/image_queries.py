"""Lets a model in memory decide on images, and resolves the classes to explain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xda.data.tensors import Images, LabelledImages, is_one
from xda.decision import Bounds, ClassesAsked, Decision, class_number, class_numbers
from xda.errors import InvalidRequestError
from xda.explanation.classifier import FrozenClassifier


@dataclass(frozen=True, slots=True)
class Queries:
    """B images with the decision to explain on each."""

    decisions: list[Decision]
    features: NDArray[np.float32]
    """phi(x), shape (B, d)."""
    logits: NDArray[np.float32]
    """The model's logits, shape (B, K)."""
    labels: NDArray[np.int64] | None
    """Labels of the images if known, shape (B,)."""
    single: bool
    """Whether the caller gave one image, not a batch of one."""


def read_queries(
    classifier: FrozenClassifier,
    bounds: Bounds,
    classes: Sequence[str],
    images: Images | LabelledImages,
    c: float | None,
    target: ClassesAsked | None,
    against: int | str | None,
) -> Queries:
    """Let a model decide on images, and resolve the classes to explain.

    Parameters
    ----------
    classifier : FrozenClassifier
    bounds : Bounds
    classes : sequence of str
    images, c, target, against
        As for ``ModelExplainer.decide``.

    Raises
    ------
    NotFoundError
        If there is no such class or C.
    InvalidRequestError
        If the contrast class is the target, or targets are not one per image.
    DataError
        If the images cannot be used, or features are not finite.
    """
    c = bounds.resolve_c(c)
    features, logits, labels = classifier.outputs(images)
    predicted = logits.argmax(axis=1)
    other = None if against is None else class_number(against, classes)
    if target is None and other is not None and (own := np.flatnonzero(predicted == other)).size:
        raise InvalidRequestError(
            f"The model predicts the contrast class {other} on image {own[0]} itself; give target=, or another "
            "against=."
        )
    targets = predicted.tolist() if target is None else class_numbers(target, classes, len(features))
    for chosen in set(targets):
        bounds.check_decision(chosen, other)
    decisions = [Decision(i, c, chosen, other) for i, chosen in enumerate(targets)]
    return Queries(decisions, features, logits, labels, is_one(images))
