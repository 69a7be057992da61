"""Tests of xda.networks.fitted_head, against scikit-learn's logistic regression."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from xda.errors import ConfigError
from xda.networks import fitted_head
from xda.networks.fitted_head import PENALTIES, fit_head


def problem(n: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return features of four overlapping classes, far from zero as those behind a ReLU are."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    centres = np.random.default_rng(9).normal(size=(4, 12))
    return (5 + centres[labels] + rng.normal(0, 1.2, (n, 12))).astype(np.float32), labels


def test_head_equals_scikit_learns_logistic_regression() -> None:
    features, labels = problem(300)
    head = fit_head(features, labels, 4)
    peer = LogisticRegression(C=1 / (len(labels) * head.penalty), tol=1e-10, max_iter=20_000)
    peer.fit(features.astype(np.float64), labels)
    np.testing.assert_allclose(head.weight, peer.coef_, atol=2e-4)
    expected = peer.decision_function(features.astype(np.float64))
    logits = head.logits(features)
    np.testing.assert_allclose(logits - logits.mean(1, keepdims=True), expected, atol=2e-3)


def test_penalty_is_that_of_the_least_held_out_loss() -> None:
    features, labels = problem(200)
    head = fit_head(features, labels, 4)
    held = fitted_head._held_out(labels, 0)
    assert 0.15 < held.mean() < 0.21
    losses = {}
    for penalty in PENALTIES:
        peer = LogisticRegression(C=1 / (int((~held).sum()) * penalty), tol=1e-9, max_iter=20_000)
        peer.fit(features[~held].astype(np.float64), labels[~held])
        chances = peer.predict_proba(features[held].astype(np.float64))
        losses[penalty] = -np.log(chances[np.arange(len(chances)), labels[held]]).mean()
        if penalty == head.penalty:
            assert head.held_out_accuracy == (chances.argmax(1) == labels[held]).mean()
    assert head.penalty == min(losses, key=losses.__getitem__)


def test_fit_is_the_same_bit_for_bit() -> None:
    features, labels = problem(120)
    first, second = (fit_head(features, labels, 4) for _ in range(2))
    assert first.weight.tobytes() == second.weight.tobytes()


def test_too_few_images_are_refused() -> None:
    features, labels = problem(4)
    with pytest.raises(ConfigError, match="at least 5 training images"):
        fit_head(features, labels, 4)
