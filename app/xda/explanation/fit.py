"""Fits surrogates in memory to a model and its training set, for notebooks; needs no run folder."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from xda.data.tensors import LabelledImages, PreparedSet
from xda.errors import ConfigError, DataError
from xda.explanation.classifier import FrozenClassifier
from xda.explanation.model import ModelExplainer
from xda.networks.random_state import kept_random_state
from xda.progress import Progress, TerminalProgress
from xda.surrogate import CrammerSingerSVC
from xda.surrogate.arguments import positive
from xda.surrogate.fit_progress import STAGE, gap_progress

if TYPE_CHECKING:
    import torch

C_VALUES = (1e-5, 1e-3, 1e-1)
"""Regularisation parameters where none are asked for, as in a build."""


def explain(
    model: torch.nn.Module,
    train_set: LabelledImages,
    *,
    c: float | Sequence[float] = C_VALUES,
    classes: Sequence[str] | None = None,
    tol: float = 1e-6,
    intercept: str = "none",
    head: str = "",
    progress: Progress | None = None,
) -> ModelExplainer:
    """Fit surrogates to a trained model, so that its decisions can be explained by its training images.

    The call restores the global random generators of torch, numpy and Python.

    Parameters
    ----------
    model : torch.nn.Module
        Trained classifier with a linear head. It is copied and stays unchanged; its device computes.
    train_set : Dataset, DataLoader or (images, labels)
        The model's training set without augmentation: floating-point tensors as the model takes them, labels from 0.
        A DataLoader is read without shuffling, so that position i is training image i.
    c : float or sequence of float
        Regularisation parameters, real numbers of any type, one surrogate each, fitted warm from the next smaller;
        larger is sparser.
    classes : sequence of str, optional
        Names of the classes; default the training set's ``classes``, else their numbers.
    tol : float
        Relative duality gap to reach.
    intercept : {"none", "augment"}
        As for ``CrammerSingerSVC``.
    head : str
        Name of the last linear layer; by default found by running the model.
    progress : Progress, optional
        Called as ``progress(stage, done, total)``; default bars on stderr, ``xda.progress.silent`` for none.

    Returns
    -------
    ModelExplainer

    Raises
    ------
    ConfigError
        If the model has no linear head, or a parameter makes no sense.
    DataError
        If the training set cannot be used; the message says why.
    """
    try:
        # Convert numbers of numpy and torch to Python's.
        given: Any = c.tolist() if hasattr(c, "tolist") else c
        cs = tuple(positive("C", one) for one in ([given] if isinstance(given, Real) else given))
    except (TypeError, ValueError):
        cs = ()
    if not cs or len(set(cs)) < len(cs):
        raise ConfigError(f"C = {c}: give one or more different positive numbers.")
    if intercept not in ("none", "augment"):
        raise ConfigError(f'intercept must be "none" or "augment", not {intercept!r}.')
    if classes is not None and len(classes) < 2:
        raise ConfigError(f"classes = {classes}: give one name for each logit, at least two.")
    if isinstance(tol, bool) or not isinstance(tol, Real) or not 0 < tol < 1:
        raise ConfigError(f"tol = {tol}: give a relative duality gap between 0 and 1, such as 1e-6.")
    if progress is None:
        with TerminalProgress() as bars:
            return explain(
                model, train_set, c=cs, classes=classes, tol=tol, intercept=intercept, head=head, progress=bars
            )
    with kept_random_state():
        return _explain(model, train_set, cs, classes, float(tol), intercept, head, progress)


def _explain(
    model: torch.nn.Module,
    train_set: LabelledImages,
    cs: tuple[float, ...],
    classes: Sequence[str] | None,
    tol: float,
    intercept: str,
    head: str,
    progress: Progress,
) -> ModelExplainer:
    """Fit with checked parameters."""
    images = PreparedSet(train_set)
    classifier = FrozenClassifier(model, images, head=head, n_classes=None if classes is None else len(classes))
    names = tuple(map(str, images.classes if classes is None else classes))
    if len(names) != classifier.n_classes:
        names = tuple(map(str, range(classifier.n_classes)))
    features, logits, labels = classifier.features_of(images, progress, "Features of the training images")
    absent = np.setdiff1d(np.arange(classifier.n_classes), labels)
    if len(absent):
        raise DataError(f"Class '{names[absent[0]]}' has no training image; give the model's whole training set.")
    fitted = CrammerSingerSVC.path(
        features, labels, cs, tol=tol, intercept=intercept, progress=gap_progress(progress, cs, tol)
    )
    progress(STAGE, 100, 100)
    return ModelExplainer(classifier, images, names, features, logits, labels, fitted)
