"""The equations against loops over their indices."""

# ruff: noqa: N806 - C and X are the names of the field
from __future__ import annotations

import numpy as np
import pytest

from tests.reference import crammer_singer as reference
from tests.surrogate.problems import overlapping
from xda.surrogate import objective


@pytest.fixture
def problem() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    X, y = overlapping(30, 5, 4)
    return X, y, reference.ascent(X, y, 0.1, 4, 5)


def test_primal_and_dual_equal_the_paper(problem: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    X, y, alpha = problem
    coef = objective.coef_from_dual(X, alpha)
    np.testing.assert_allclose(coef, sum(np.outer(a, z) for a, z in zip(alpha, X, strict=True)), atol=1e-13)
    slack = objective.slacks(objective.scores(X, coef, y), y)
    assert objective.primal_value(coef, slack.sum(), 0.1) == pytest.approx(reference.primal(X, y, coef, 0.1), rel=1e-12)
    own = float(alpha[np.arange(30), y].sum())
    assert objective.dual_value(coef, own) == pytest.approx(reference.dual(X, y, alpha, 0.1), rel=1e-12)


def test_margins_and_slacks_agree(problem: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    X, y, alpha = problem
    augmented = objective.scores(X, alpha.T @ X, y)
    expected = [
        (alpha.T @ X @ z)[label] - max((alpha.T @ X @ z)[m] for m in range(4) if m != label)
        for z, label in zip(X, y, strict=True)
    ]
    margins = reference.margins(augmented, y)
    np.testing.assert_allclose(margins, expected, atol=1e-12)
    np.testing.assert_allclose(objective.slacks(augmented, y), np.maximum(0.0, 1.0 - margins), atol=1e-12)


def test_relative_gap_divides_by_primal() -> None:
    assert objective.relative_gap(2.0, 1.0) == 0.5
    assert objective.relative_gap(0.0, 0.0) == 0.0


def test_kkt_violation_each_kind_of_row_equals_twin() -> None:
    y = np.array([0, 0, 0])
    augmented = np.array([[1.0, 1.5, 0.0], [1.0, 1.5, 0.0], [2.0, 1.5, 0.0]])
    alpha = np.array([[0.0, 0.0, 0.0], [0.5, -0.5, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(reference.kkt_violations(augmented, alpha, y, 0.5), [0.5, 0.0, 0.0])
    np.testing.assert_allclose(reference.kkt_violations(augmented, alpha, y, 0.6), [0.5, 0.5, 0.0])
