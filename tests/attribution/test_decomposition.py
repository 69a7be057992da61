"""Every formula of the decomposition against its slow twin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.attribution.problems import make_problem
from tests.reference import dualda
from xda.attribution.decomposition import (
    Decomposition,
    attributions,
    by_class,
    contributions,
    self_influence,
)
from xda.attribution.index import AttributionIndex, build_index
from xda.attribution.ranking import rank, strongest
from xda.attribution.results import TestSample
from xda.attribution.sparsity import sparsity
from xda.decision import Decision


@pytest.mark.parametrize(("target", "against"), [(0, None), (2, None), (1, 3), (3, 0)])
def test_attributions_equal_slow_twin_and_sum_to_logit(target: int, against: int | None) -> None:
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


def test_attributions_of_several_queries_equal_single_queries() -> None:
    problem = make_problem()
    rows, weights = problem.support.weights(1)
    together = attributions(weights, problem.products(rows, problem.queries))
    for k, query in enumerate(problem.queries):
        np.testing.assert_allclose(together[:, k], attributions(weights, problem.products(rows, query)), rtol=1e-12)


@pytest.mark.parametrize("limit", [0, 1, 3, 5, 100])
@pytest.mark.parametrize("sign", [1, -1])
def test_strongest_equals_stable_sort_of_one_sign(limit: int, sign: int) -> None:
    values = np.array([0.5, -1.0, 0.0, 2.0, 2.0, -3.0, 0.5, -1.0, 2.0])
    expected = [i for i in np.argsort(-np.abs(values), kind="stable").tolist() if values[i] * sign > 0][:limit]
    assert strongest(values, limit, sign=sign).tolist() == expected


def test_decompose_lists_every_non_zero_contribution_strongest_first() -> None:
    problem = make_problem()
    rows, weights = problem.support.weights(2)
    products = problem.products(rows, problem.queries[0])
    products[0] = 0.0
    values = attributions(weights, products)
    test = TestSample(0, 1, 2, (), ())
    result = Decomposition(Decision(0, problem.support.c, 2), test, problem.support, lambda _: products)
    assert len(result.index) == len(values) - 1
    assert np.all(np.diff(np.abs(result.attribution)) <= 0)
    assert result.total == pytest.approx(values.sum(), rel=1e-14)
    np.testing.assert_array_equal(result.label, problem.labels[result.index])
    assert sum(part.n_supporting + part.n_opposing for part in result.by_class) == len(result.index)
    listed = contributions(problem.support, rows[:3], values[:3])
    assert [entry.index for entry in listed] == problem.support.index[rows[:3]].tolist()


@pytest.mark.parametrize("against", [None, 3])
@pytest.mark.parametrize("label", [None, 2])
@pytest.mark.parametrize("limit", [None, 0, 2])
def test_explanation_is_a_view_of_the_decomposition(against: int | None, label: int | None, limit: int | None) -> None:
    problem = make_problem()
    whole = problem.decompose(0, 2, against)
    told = whole.explanation(limit, label)
    tau = dualda.attributions(problem.dual_coef, problem.features, problem.queries[0], 2, against)
    ranked = [i for i in np.argsort(-np.abs(tau), kind="stable").tolist() if label in (None, problem.labels[i])]
    for listed, sign in ((told.supporting, 1), (told.opposing, -1)):
        assert [part.index for part in listed] == [i for i in ranked if tau[i] * sign > 0][:limit]
    assert told.decision == whole.decision
    assert told.surrogate_logit == pytest.approx(tau.sum()) == pytest.approx(whole.total)
    assert (told.sum_supporting, told.sum_opposing) == pytest.approx((tau[tau > 0].sum(), tau[tau < 0].sum()))
    assert (told.n_supporting, told.n_opposing) == ((tau > 0).sum(), (tau < 0).sum())


def test_explanation_reads_the_index_where_that_is_long_enough() -> None:
    problem = make_problem()
    targets = np.full(len(problem.queries), 2)
    arrays = build_index(problem.support, problem.products, problem.queries, targets, per_sign=3)
    computed = problem.decompose(4, 2)

    def refuse(_: NDArray[np.int64]) -> NDArray[np.float64]:
        raise AssertionError("the index has this")

    looked_up = replace(computed, products=refuse, precomputed=AttributionIndex(arrays, 3))
    for limit in (0, 2, 3):
        told, expected = looked_up.explanation(limit), computed.explanation(limit)
        for found, part in zip(
            (*told.supporting, *told.opposing), (*expected.supporting, *expected.opposing), strict=True
        ):
            assert part == replace(found, attribution=part.attribution)
            assert part.attribution == pytest.approx(found.attribution, rel=1e-12)
        assert told.sum_supporting == pytest.approx(expected.sum_supporting, rel=1e-12)
        assert (told.n_supporting, told.n_opposing) == (expected.n_supporting, expected.n_opposing)
    for longer, label in ((4, None), (None, None), (2, 1)):
        with pytest.raises(AssertionError, match="the index has this"):
            looked_up.explanation(longer, label)


def test_by_class_sums_each_label() -> None:
    labels = np.array([2, 0, 2, 2, 3])
    values = np.array([1.0, -2.0, -0.5, 0.25, 0.0])
    found = {
        part.label: (part.supporting, part.opposing, part.n_supporting, part.n_opposing)
        for part in by_class(labels, values, 5)
    }
    assert found == {0: (0.0, -2.0, 0, 1), 2: (1.25, -0.5, 2, 1)}


def test_sparsity_equals_slow_twin() -> None:
    rng = np.random.default_rng(1)
    tau = np.where(rng.random(200) < 0.1, rng.normal(size=200), 0.0)
    tau[:3] = [1e-9, -1e-8, 4.0]
    expected = dualda.sparsity(tau)
    result = sparsity(tau[tau != 0], 200)
    assert (result.l0, result.hoyer) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("values", "n", "l0", "hoyer"), [([3.0], 100, 0.99, 1.0), ([1.0] * 4, 4, 0.0, 0.0)])
def test_sparsity_of_one_and_of_equal_contributions_is_extreme(
    values: list[float], n: int, l0: float, hoyer: float
) -> None:
    result = sparsity(np.array(values), n)
    assert (result.l0, result.hoyer) == pytest.approx((l0, hoyer))


def test_sparsity_without_contributions_is_one() -> None:
    result = sparsity(np.empty(0), 10)
    assert (result.l0, result.hoyer) == (1.0, 1.0)


def test_self_influence_equals_own_dual_times_squared_norm() -> None:
    np.testing.assert_allclose(self_influence(np.array([0.5, 0.0]), np.array([4.0, 9.0])), [2.0, 0.0])


def test_rank_counts_no_sample_without_contribution() -> None:
    values = np.array([0.0, 2.0, -1.0, 0.0])
    supporting, opposing = (rank(np.arange(4), values, 4, sign=sign) for sign in (1, -1))
    assert (supporting.position.tolist(), supporting.total, supporting.count) == ([1], 2.0, 1)
    assert (opposing.position.tolist(), opposing.total, opposing.count) == ([2], -1.0, 1)
