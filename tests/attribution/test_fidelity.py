"""Fidelity figures on numbers small enough to check by eye."""

from __future__ import annotations

import numpy as np
import pytest

from xda.attribution.fidelity import agreement, confidence_and_margin, softmax


def test_agreement_is_the_share_of_equal_predictions() -> None:
    surrogate = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [0.0, 3.0]])
    network = np.array([[5.0, 1.0], [9.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    assert agreement(surrogate, network) == 0.75


def test_softmax_survives_large_logits() -> None:
    np.testing.assert_allclose(softmax(np.array([[1000.0, 1000.0], [0.0, np.log(3.0)]])), [[0.5, 0.5], [0.25, 0.75]])


def test_confidence_and_margin() -> None:
    confidence, margin = confidence_and_margin(np.log(np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]])))
    assert confidence.tolist() == pytest.approx([0.7, 0.4])
    assert margin.tolist() == pytest.approx([0.5, 0.1])
