"""Copies of a training image have its label and its features, up to rounding."""

from __future__ import annotations

import numpy as np
import pytest

from xda.explanation.run import Explainer
from xda.runs.copies import MOST, copies_of
from xda.storage.run import layout


def test_copies_have_same_label_and_features() -> None:
    rng = np.random.default_rng(0)
    features = rng.random((50, 6), dtype=np.float32)
    labels = np.arange(50) % 3
    features[9] = features[3]
    features[12] = features[3] * np.float32(1.0 + 1e-6)  # the same image in another batch
    features[15] = features[3] * np.float32(1.001)  # another image
    features[4] = features[3]  # another label
    logits = features @ rng.random((6, 3), dtype=np.float32)
    assert copies_of(3, labels, logits, features) == (9, 12)
    assert copies_of(9, labels, logits, features) == (3, 12)
    assert copies_of(4, labels, logits, features) == ()
    # The same logits do not make copies of different features.
    assert copies_of(3, labels, np.zeros_like(logits), features) == (9, 12)


def test_copies_of_equal_images_are_limited() -> None:
    same, labels = np.zeros((100, 4), dtype=np.float32), np.zeros(100, dtype=np.int64)
    assert copies_of(50, labels, same, same) == tuple(range(MOST))


def test_training_sample_names_its_copies(explainer: Explainer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert explainer.training_sample(7).copies == ()
    labels = explainer.outcomes.labels["train"]
    twin = int(np.flatnonzero(labels == labels[7])[-1])
    logits = np.array(explainer.outcomes.logits["train"])
    features = np.array(explainer.run.array(layout.features("train")))
    logits[twin], features[twin] = logits[7], features[7]
    monkeypatch.setitem(explainer.outcomes.logits, "train", logits)
    monkeypatch.setattr(type(explainer.run), "array", lambda run, name: features)
    assert explainer.training_sample(7).copies == (twin,)
