"""The support set against the dense matrix of dual variables."""

from __future__ import annotations

import numpy as np
import pytest

from tests.attribution.problems import make_problem


@pytest.mark.parametrize("target", range(4))
@pytest.mark.parametrize("against", [None, 0, 3])
def test_weights_are_non_zero_column_of_dual_variables(target: int, against: int | None) -> None:
    problem = make_problem()
    if target == against:
        return
    rows, weights = problem.support.weights(target, against)
    column = problem.dual_coef[:, target] - (0 if against is None else problem.dual_coef[:, against])
    dense = np.zeros(len(column))
    dense[problem.support.index[rows]] = weights
    np.testing.assert_array_equal(dense, column)
    assert np.all(weights != 0)
    assert np.all(np.diff(rows) > 0)


def test_row_and_position_of_support_vectors_and_others() -> None:
    problem = make_problem()
    support = problem.support
    for i in range(support.n_train):
        np.testing.assert_array_equal(support.row(i), problem.dual_coef[i])
        position = support.position(i)
        assert (position is None) == (not problem.dual_coef[i].any())
        if position is not None:
            assert support.index[position] == i


def test_at_bound_where_own_dual_variable_is_c() -> None:
    problem = make_problem()
    own = problem.dual_coef[problem.support.index, problem.support.label]
    np.testing.assert_array_equal(problem.support.own_dual_coef, own)
    np.testing.assert_array_equal(problem.support.at_bound, own == problem.support.c)
    assert 0 < problem.support.at_bound.sum() < len(problem.support)
