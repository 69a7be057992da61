"""Fidelity figures on numbers small enough to check by eye."""

from __future__ import annotations

import numpy as np
import pytest

from xda.attribution import fidelity
from xda.attribution.fidelity import agreement, confidence_and_margin, softmax


def test_agreement_is_share_of_equal_predictions() -> None:
    surrogate = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [0.0, 3.0]])
    network = np.array([[5.0, 1.0], [9.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    assert agreement(surrogate, network) == 0.75


def test_softmax_survives_large_logits() -> None:
    np.testing.assert_allclose(softmax(np.array([[1000.0, 1000.0], [0.0, np.log(3.0)]])), [[0.5, 0.5], [0.25, 0.75]])


def test_confidence_and_margin_equal_softmax_lead() -> None:
    confidence, margin = confidence_and_margin(np.log(np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]])))
    assert confidence.tolist() == pytest.approx([0.7, 0.4])
    assert margin.tolist() == pytest.approx([0.5, 0.1])


def test_confidence_and_margin_many_logits_are_read_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = np.random.default_rng(0).normal(size=(11, 5)).astype(np.float32)
    expected = np.sort(softmax(logits), axis=1)
    monkeypatch.setattr(fidelity, "BLOCK_VALUES", 15)
    confidence, margin = confidence_and_margin(logits)
    np.testing.assert_array_equal(confidence, expected[:, -1])
    np.testing.assert_array_equal(margin, expected[:, -1] - expected[:, -2])
    assert [len(values) for values in confidence_and_margin(logits[:0])] == [0, 0]
