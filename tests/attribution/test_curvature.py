"""The effects of removals against their slow twins, their sums and limits, and against refits."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.attribution.fitted import Fitted, make_fitted
from tests.reference import removal as twins
from xda.attribution import active, curvature, removal
from xda.attribution.active import ActiveSamples, Directions
from xda.attribution.curvature import ByIteration, Curvature, InClasses, InSamples, choose, restore
from xda.attribution.decomposition import Decomposition
from xda.attribution.removal import removal_effects, summed

QUESTIONS = [(0, None), (2, None), (1, 3), (3, 0)]
WAYS: dict[type, Callable[[Directions], Curvature]] = {
    InClasses: InClasses.invert,
    InSamples: InSamples.invert,
    ByIteration: lambda directions: ByIteration.prepare(directions, largest=12, tolerance=1e-9),
}
PRECISION = {InClasses: 1e-5, InSamples: 1e-11, ByIteration: 1e-8}


def query_of(fitted: Fitted, seed: int = 5) -> NDArray[np.float64]:
    query = np.asarray(np.random.default_rng(seed).uniform(0, 3, size=fitted.whole.shape[1]))
    if fitted.augment:
        query[-1] = 1.0
    return query


def by_twin(fitted: Fitted, query: NDArray[np.float64], target: int, against: int | None) -> NDArray[np.float64]:
    return np.asarray(
        twins.response(fitted.whole, fitted.labels, fitted.coef, fitted.c, query, target, against, active.HINGE_WIDTH)
    )


def test_every_formula_has_a_slow_twin() -> None:
    replicated = {active.active_samples, active.curvatures, active.Directions, removal.removal_effects, removal.summed}
    assert replicated | WAYS.keys() | {Decomposition.ranked} == twins.TWINS.keys()
    assert WAYS.keys() == set(curvature.WAYS)


@pytest.mark.parametrize("intercept", ["none", "augment"])
def test_active_samples_equal_their_slow_twin(intercept: str) -> None:
    fitted = make_fitted(5.0, intercept=intercept)
    found = fitted.active()
    expected = twins.curvatures(fitted.whole, fitted.labels, fitted.coef, fitted.c, active.HINGE_WIDTH)
    assert found.rival.tolist() == [expected[i][0] for i in found.index]
    np.testing.assert_allclose(found.weight, [expected[i][1] for i in found.index], rtol=1e-9)
    left_out = np.setdiff1d(np.arange(len(fitted.labels)), found.index)
    norms = np.square(fitted.whole).sum(axis=1)
    assert sum(2 * expected[i][1] * norms[i] for i in left_out) <= active.NEGLIGIBLE
    assert 0 < len(found) < len(fitted.labels)
    pairs = [(label, rival) for label, rival, _ in found.groups()]
    assert pairs == sorted(set(pairs))


def test_curvatures_of_distant_margins_do_not_overflow() -> None:
    assert active.curvatures(np.array([-1e6, 1e6]), 1.0).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("intercept", ["none", "augment"])
def test_directions_equal_their_slow_twin(intercept: str) -> None:
    fitted = make_fitted(intercept=intercept)
    directions, found = fitted.directions(), fitted.active()
    b = twins.directions(fitted.whole[found.index], found.label, found.rival.tolist(), len(fitted.coef))
    rng = np.random.default_rng(1)
    u, values = rng.normal(size=fitted.coef.shape), rng.normal(size=len(found))
    np.testing.assert_allclose(directions.forward(u), b @ u.ravel(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(directions.backward(values).ravel(), b.T @ values, rtol=1e-10, atol=1e-12)
    query = query_of(fitted)
    q = np.zeros(fitted.coef.shape)
    q[1], q[3] = query, -query
    np.testing.assert_allclose(directions.with_query(query, 1, 3), b @ q.ravel(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("intercept", ["none", "augment"])
@pytest.mark.parametrize("c", [1e-4, 0.02, 5.0])
def test_response_of_each_way_equals_the_dense_twin(way: type, intercept: str, c: float) -> None:
    fitted = make_fitted(c, intercept=intercept)
    solver, query = WAYS[way](fitted.directions()), query_of(fitted)
    for target, against in QUESTIONS:
        found = solver.solve(query, target, against)
        expected = by_twin(fitted, query, target, against)
        deviation = float(np.linalg.norm(found.u - expected) / np.linalg.norm(expected))
        assert deviation <= max(PRECISION[way], found.error + 1e-6)


@pytest.mark.parametrize("tolerance", [1e-1, 1e-2, 1e-4])
@pytest.mark.parametrize("c", [0.02, 5.0])
def test_response_by_iteration_is_within_its_stated_error(tolerance: float, c: float) -> None:
    fitted = make_fitted(c)
    query = query_of(fitted)
    for target, against in QUESTIONS:
        found = ByIteration.prepare(fitted.directions(), 12, tolerance).solve(query, target, against)
        exact = by_twin(fitted, query, target, against)
        # 1e-6: samples that were left out as negligible
        assert np.linalg.norm(found.u - exact) <= (found.error + 2e-6) * np.linalg.norm(found.u)
        assert found.error <= tolerance


def test_response_by_iteration_states_its_error_when_it_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curvature, "MOST_STEPS", 2)
    fitted = make_fitted(5.0)
    query = query_of(fitted)
    found = ByIteration.prepare(fitted.directions(), 12, 1e-9).solve(query, 0, None)
    assert found.error > 1e-9
    exact = by_twin(fitted, query, 0, None)
    assert 1e-9 < np.linalg.norm(found.u - exact) / np.linalg.norm(found.u) <= found.error


def test_choose_takes_the_smaller_matrix_or_iterates() -> None:
    fitted = make_fitted()
    sizes = {"n": len(fitted.active()), "kd": fitted.coef.size}
    assert sizes["n"] > sizes["kd"]
    way = {largest: type(choose(fitted.active(), fitted.features, 4, largest=largest)) for largest in (999, 10)}
    assert way == {999: InClasses, 10: ByIteration}
    few = fitted.active()
    few = ActiveSamples(few.index[:9], few.label[:9], few.rival[:9], few.weight[:9])
    assert type(choose(few, fitted.features, 4)) is InSamples


@pytest.mark.parametrize("way", WAYS)
def test_stored_curvature_answers_as_before(way: type) -> None:
    fitted = make_fitted()
    before, query = WAYS[way](fitted.directions()), query_of(fitted)
    after = restore(before.arrays(), fitted.features, fitted.labels, 4)
    assert type(after) is way
    expected = before.solve(query, 1, 3)
    np.testing.assert_allclose(after.solve(query, 1, 3).u, expected.u, rtol=0, atol=1e-3 * np.abs(expected.u).max())


HOSTILE: dict[tuple[type, str], Callable[[NDArray[Any]], NDArray[Any]]] = {
    (InSamples, "active"): lambda values: values + 1000,
    (InSamples, "rival"): lambda values: values - 1,
    (InSamples, "weight"): lambda values: -values,
    (InSamples, "inverse_packed"): lambda values: values[:-1],
    (InClasses, "inverse_blocks"): lambda values: values * np.inf,
    (ByIteration, "leading_packed"): lambda values: values[:-1],
    (ByIteration, "rest"): lambda values: values - 2,
    (ByIteration, "leading_basis"): lambda values: values * np.inf,
}


@pytest.mark.parametrize(("way", "name"), HOSTILE)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_restore_with_hostile_array_is_refused(way: type, name: str) -> None:
    fitted = make_fitted()
    arrays = WAYS[way](fitted.directions()).arrays()
    with pytest.raises(ValueError, match=f"removal/{name}"):
        restore(arrays | {name: HOSTILE[way, name](arrays[name])}, fitted.features, fitted.labels, 4)


@pytest.mark.parametrize(("way", "name"), [(InSamples, "weight"), (ByIteration, "rest")])
def test_restore_without_an_array_is_refused(way: type, name: str) -> None:
    fitted = make_fitted()
    arrays = WAYS[way](fitted.directions()).arrays()
    del arrays[name]
    with pytest.raises(ValueError, match=f"removal/{name} is missing"):
        restore(arrays, fitted.features, fitted.labels, 4)


@pytest.mark.parametrize("intercept", ["none", "augment"])
@pytest.mark.parametrize("scattered", [1e-9, 1e9])
def test_effects_equal_their_slow_twin_and_sum_to_the_product_with_coef(
    intercept: str, scattered: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "SCATTERED", scattered)
    fitted = make_fitted(intercept=intercept)
    query, support = query_of(fitted), fitted.support
    for target, against in QUESTIONS:
        response = InClasses.invert(fitted.directions()).solve(query, target, against)
        found = removal_effects(support, fitted.products, response)
        dense = np.zeros(len(fitted.labels))
        dense[support.index] = found.values
        expected = twins.effects(fitted.svc.dual_coef_.toarray(), fitted.whole, response.u)
        np.testing.assert_allclose(dense, expected, rtol=1e-9, atol=1e-12)
        assert found.values.sum() == pytest.approx(-float(np.vdot(fitted.coef, response.u)), rel=1e-9)
        some = support.index[[0, 3]].tolist()
        assert summed(found, support, some) == pytest.approx(float(dense[some].sum()))


def test_effects_without_curvature_are_minus_the_attributions() -> None:
    fitted = make_fitted()
    nothing = np.empty(0, dtype=np.int64)
    empty = ActiveSamples(nothing, nothing, nothing, np.empty(0))
    query, support = query_of(fitted), fitted.support
    for way in WAYS.values():
        solver = way(Directions(empty, fitted.features[:0], 4))
        for target, against in QUESTIONS:
            found = removal_effects(support, fitted.products, solver.solve(query, target, against))
            rows, weights = support.weights(target, against)
            tau = np.zeros(len(support))
            tau[rows] = weights * fitted.products(rows, query)
            np.testing.assert_allclose(found.values, -tau, rtol=1e-5, atol=1e-6)


def test_effects_of_a_contrast_change_sign_when_its_classes_change_places() -> None:
    fitted = make_fitted()
    query, solver = query_of(fitted), InClasses.invert(fitted.directions())
    one, other = (
        removal_effects(fitted.support, fitted.products, solver.solve(query, *q)).values for q in ((1, 3), (3, 1))
    )
    np.testing.assert_allclose(one, -other, rtol=0, atol=1e-6 * np.abs(one).max())


def faces(svc: object) -> list[set[int]]:
    """Return the positions of the dual variables that are zero, at the bound and free."""
    alpha = svc.dual_coef_.toarray()  # type: ignore[attr-defined]
    bound = svc.C * (1 - 1e-7)  # type: ignore[attr-defined]
    return [set(np.flatnonzero(mask).tolist()) for mask in (alpha == 0, alpha >= bound)]


def test_effects_with_a_narrow_hinge_equal_the_refit_while_the_active_set_stays() -> None:
    compared = 0
    for seed, n_classes in product(range(20), (2, 3)):
        fitted = make_fitted(0.05, n=40, d=5, k=n_classes, tol=1e-13, seed=seed)
        if np.diff(fitted.support.dual_coef.indptr).max() > 2:
            continue  # a row that is free between two rivals has no place in H
        query, support = query_of(fitted), fitted.support
        response = InSamples.invert(fitted.directions(width=1e-7)).solve(query, 0, 1)
        effects = removal_effects(support, fitted.products, response).values
        before = float((fitted.coef[0] - fitted.coef[1]) @ query)
        zero, bound = faces(fitted.svc)
        for position in np.flatnonzero(support.at_bound).tolist():
            index = int(support.index[position])
            own = set(range(index * n_classes, (index + 1) * n_classes))
            again = fitted.svc.refit(remove=[index])
            if [zero - own, bound - own] == [face - own for face in faces(again)]:
                after = float((again.coef_[0] - again.coef_[1]) @ query)
                assert effects[position] == pytest.approx(after - before, rel=1e-3, abs=1e-7)
                compared += 1
    assert compared >= 20
