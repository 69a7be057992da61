"""Every formula of the decomposition against its slow twin."""

from __future__ import annotations

import numpy as np
import pytest

from tests.attribution.problems import make_problem
from tests.reference import dualda
from xda.attribution.decomposition import (
    attributions,
    by_class,
    contributions,
    decompose,
    self_influence,
    sparsity,
    strongest,
)


@pytest.mark.parametrize(("target", "against"), [(0, None), (2, None), (1, 3), (3, 0)])
def test_attributions_equal_the_slow_twin_and_sum_to_the_logit(target: int, against: int | None) -> None:
    problem = make_problem()
    rows, weights = problem.support.weights(target, against)
    coef = problem.dual_coef.T @ problem.features.astype(np.float64)
    for query in problem.queries[:5]:
        values = attributions(weights, problem.products(rows, query))
        dense = np.zeros(problem.support.n_train)
        dense[problem.support.index[rows]] = values
        expected = dualda.attributions(problem.dual_coef, problem.features, query, target, against)
        np.testing.assert_allclose(dense, expected, rtol=1e-12, atol=1e-14)
        direction = coef[target] - (0 if against is None else coef[against])
        assert values.sum() == pytest.approx(float(direction @ query.astype(np.float64)), rel=1e-12, abs=1e-12)


def test_several_queries_at_once_equal_one_after_the_other() -> None:
    problem = make_problem()
    rows, weights = problem.support.weights(1)
    together = attributions(weights, problem.products(rows, problem.queries))
    for k, query in enumerate(problem.queries):
        np.testing.assert_allclose(together[:, k], attributions(weights, problem.products(rows, query)), rtol=1e-12)


@pytest.mark.parametrize("limit", [0, 1, 3, 5, 100])
@pytest.mark.parametrize("sign", [1, -1])
def test_strongest_is_a_stable_sort_of_one_sign(limit: int, sign: int) -> None:
    values = np.array([0.5, -1.0, 0.0, 2.0, 2.0, -3.0, 0.5, -1.0, 2.0])
    expected = [i for i in np.argsort(-np.abs(values), kind="stable").tolist() if values[i] * sign > 0][:limit]
    assert strongest(values, limit, sign=sign).tolist() == expected


def test_decompose_lists_every_non_zero_contribution_strongest_first() -> None:
    problem = make_problem()
    rows, weights = problem.support.weights(2)
    values = attributions(weights, problem.products(rows, problem.queries[0]))
    values[0] = 0.0
    result = decompose(problem.support, rows, values)
    assert len(result.index) == len(values) - 1
    assert np.all(np.diff(np.abs(result.attribution)) <= 0)
    assert result.total == pytest.approx(values.sum(), rel=1e-14)
    np.testing.assert_array_equal(result.label, problem.labels[result.index])
    assert sum(part.n_supporting + part.n_opposing for part in result.by_class) == len(result.index)
    listed = contributions(problem.support, rows[:3], values[:3])
    assert [entry.index for entry in listed] == problem.support.index[rows[:3]].tolist()


def test_by_class_sums_each_label() -> None:
    labels = np.array([2, 0, 2, 2, 3])
    values = np.array([1.0, -2.0, -0.5, 0.25, 0.0])
    found = {
        part.label: (part.supporting, part.opposing, part.n_supporting, part.n_opposing)
        for part in by_class(labels, values, 5)
    }
    assert found == {0: (0.0, -2.0, 0, 1), 2: (1.25, -0.5, 2, 1)}


def test_sparsity_equals_the_slow_twin() -> None:
    rng = np.random.default_rng(1)
    tau = np.where(rng.random(200) < 0.1, rng.normal(size=200), 0.0)
    tau[:3] = [1e-9, -1e-8, 4.0]
    expected = dualda.sparsity(tau)
    result = sparsity(tau[tau != 0], 200)
    assert (result.l0, result.hoyer) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("values", "n", "l0", "hoyer"), [([3.0], 100, 0.99, 1.0), ([1.0] * 4, 4, 0.0, 0.0)])
def test_sparsity_of_extremes(values: list[float], n: int, l0: float, hoyer: float) -> None:
    result = sparsity(np.array(values), n)
    assert (result.l0, result.hoyer) == pytest.approx((l0, hoyer))


def test_sparsity_of_nothing_is_full() -> None:
    result = sparsity(np.empty(0), 10)
    assert (result.l0, result.hoyer) == (1.0, 1.0)


def test_self_influence_is_own_dual_variable_times_squared_norm() -> None:
    np.testing.assert_allclose(self_influence(np.array([0.5, 0.0]), np.array([4.0, 9.0])), [2.0, 0.0])
