"""The decisions of a model in memory that are to be explained: on which images, for which class, against which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xda.data.tensors import Images, LabelledImages
from xda.decision import Bounds, class_number
from xda.errors import InvalidRequestError
from xda.explanation.classifier import FrozenClassifier

ClassesAsked = int | str | Sequence[int] | Sequence[str] | NDArray[np.int64]
"""One class for all images, or one for each."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """Decisions on B images."""

    features: NDArray[np.float32]
    """phi(x), shape (B, d)."""
    logits: NDArray[np.float32]
    """The model's, shape (B, K)."""
    targets: NDArray[np.int64]
    """The class to explain, shape (B,)."""
    against: int | None
    """The contrast class."""
    labels: NDArray[np.int64] | None
    """Shape (B,), where the images came with labels."""


def decide(
    classifier: FrozenClassifier,
    bounds: Bounds,
    classes: Sequence[str],
    images: Images | LabelledImages,
    target: ClassesAsked | None,
    against: int | str | None,
) -> Decisions:
    """Let a model decide on images, and find out what is asked about its decisions.

    Parameters
    ----------
    classifier : FrozenClassifier
    bounds : Bounds
    classes : sequence of str
    images : tensor or array, shape (C, H, W) or (B, C, H, W); or Dataset, DataLoader or (images, labels)
        As the model takes them. Those of a data set are read in batches.
    target : int or str, or a sequence of them, optional
        By default what the model predicts.
    against : int or str, optional

    Raises
    ------
    NotFoundError
        If there is no such class.
    InvalidRequestError
        If the contrast class is the target, or targets are not one per image.
    DataError
        If the images cannot be used, or features are not finite.
    """
    features, logits, labels = classifier.outputs(images)
    targets = logits.argmax(axis=1) if target is None else _numbers(target, classes, len(features))
    other = None if against is None else class_number(against, classes)
    if target is None and other is not None and (own := np.flatnonzero(targets == other)).size:
        raise InvalidRequestError(
            f"The model predicts the contrast class {other} on image {own[0]} itself; give target=, or leave it out."
        )
    for chosen in np.unique(targets).tolist():
        bounds.check_decision(chosen, other)
    return Decisions(features, logits, targets.astype(np.int64), other, labels)


def _numbers(target: ClassesAsked, classes: Sequence[str], n: int) -> NDArray[np.int64]:
    """Return the class asked for of each of n images."""
    asked = np.asarray(target)
    mixed = isinstance(target, list | tuple) and any(isinstance(each, bool | np.bool_) for each in target)
    if asked.ndim > 1 or asked.dtype.kind not in "iuU" or mixed or (asked.ndim and len(asked) != n):
        raise InvalidRequestError(f"target is {target}; one class is needed, or one for each of the {n} images.")
    numbers = [class_number(each, classes) for each in asked.ravel().tolist()]
    return np.broadcast_to(np.array(numbers, dtype=np.int64), n)
