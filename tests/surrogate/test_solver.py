"""The solver against an interior point, a general solver and LIBLINEAR; degenerate problems; exact zeros."""

# ruff: noqa: N803, N806 - C and X are the names of the field
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.svm import LinearSVC

from tests.reference import crammer_singer as reference
from tests.surrogate.problems import overlapping
from xda.surrogate import Solution, face, kernels, newton, solve
from xda.surrogate.solver import Start
from xda.surrogate.threads import Threads

Problem = tuple[NDArray[np.float64], NDArray[np.int64], int]


def _dense(solution: Solution, n_samples: int) -> NDArray[np.float64]:
    dual = np.zeros((n_samples, solution.dual_rows.shape[1]))
    dual[solution.support] = solution.dual_rows
    return dual


def _duplicates() -> Problem:
    X, y = overlapping(40, 5, 3)
    return np.concatenate([X, X[:15]]), np.concatenate([y, y[:15]]), 3


def _contradicting_duplicates() -> Problem:
    X, y = overlapping(40, 5, 3)
    return np.concatenate([X, X[:15]]), np.concatenate([y, (y[:15] + 1) % 3]), 3


def _zero_features() -> Problem:
    X, y = overlapping(40, 5, 3)
    X[::7] = 0.0
    X[:, 2] = 0.0
    return X, y, 3


def _one_sample_in_a_class() -> Problem:
    X, y = overlapping(41, 5, 3)
    y[:] = np.arange(41) % 2
    y[17] = 2
    return X, y, 3


def _empty_class() -> Problem:
    X, y = overlapping(40, 5, 3)
    return X, y, 4


def _two_classes() -> Problem:
    return *overlapping(50, 4, 2), 2


def _fewer_samples_than_features() -> Problem:
    return *overlapping(20, 60, 4), 4


def _random_labels() -> Problem:
    rng = np.random.default_rng(3)
    return rng.normal(size=(50, 4)), rng.integers(0, 4, 50), 4


def _general() -> Problem:
    return *overlapping(60, 8, 5), 5


PROBLEMS: list[Callable[[], Problem]] = [
    _general,
    _random_labels,
    _duplicates,
    _contradicting_duplicates,
    _zero_features,
    _one_sample_in_a_class,
    _empty_class,
    _two_classes,
    _fewer_samples_than_features,
]


@pytest.mark.slow
@pytest.mark.parametrize("make", PROBLEMS)
@pytest.mark.parametrize("C", [1e-3, 0.1, 10.0])
def test_solver_objective_equals_interior_point(make: Callable[[], Problem], C: float) -> None:
    X, y, n_classes = make()
    alpha = reference.quadratic_program(X, y, C, n_classes)
    coef = alpha.T @ X
    best = reference.primal(X, y, coef, C)
    assert best - reference.dual(X, y, alpha, C) <= 1e-9 * best
    loose = solve(X, y, C, n_classes=n_classes)
    assert loose.certificate.converged
    assert loose.certificate.primal == pytest.approx(best, rel=1e-6)
    solution = solve(X, y, C, n_classes=n_classes, tol=1e-11)
    assert solution.certificate.relative_gap <= 1e-7  # the limit of rounding if C is much larger than the optimum
    np.testing.assert_array_equal(loose.support, solution.support)
    np.testing.assert_allclose(solution.coef, coef, atol=1e-5 * np.abs(coef).max() + 1e-7 * C)
    dual = _dense(solution, len(y))
    assert reference.dual(X, y, dual, C) == pytest.approx(solution.certificate.dual, rel=1e-9)
    # Feasible to rounding, weights and slacks those of the rows.
    bound = np.zeros_like(dual)
    bound[np.arange(len(y)), y] = C
    assert (dual <= bound).all()
    np.testing.assert_allclose(dual.sum(axis=1), 0.0, atol=1e-13 * C)
    np.testing.assert_allclose(dual.T @ X, solution.coef, atol=1e-12 * max(1.0, np.abs(coef).max()))
    assert solution.dual_rows.any(axis=1).all()
    # The margin decides: beyond 1 a row is exactly zero, below 1 it is not.
    scores = X @ coef.T
    own = scores[np.arange(len(y)), y]
    scores[np.arange(len(y)), y] = -np.inf
    margin = own - scores.max(axis=1)
    assert not dual[margin > 1.0 + 1e-6].any()
    assert dual[margin < 1.0 - 1e-6].any(axis=1).all()
    np.testing.assert_allclose(solution.slack, np.maximum(0.0, 1.0 - margin), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
def test_solver_support_equals_interior_point(C: float) -> None:
    X, y = overlapping(120, 10, 4, seed=5)
    alpha = reference.quadratic_program(X, y, C, 4)
    expected = np.flatnonzero(np.abs(alpha).sum(axis=1) > 1e-6 * C)
    solution = solve(X, y, C, n_classes=4)
    np.testing.assert_array_equal(solution.support, expected)
    np.testing.assert_allclose(solution.dual_rows, alpha[expected], atol=1e-5 * C)


def test_solver_weights_equal_general_solver() -> None:
    X, y = overlapping(15, 4, 3)
    for C in (0.05, 2.0):
        expected = reference.small_primal(X, y, C, 3)
        np.testing.assert_allclose(solve(X, y, C, n_classes=3, tol=1e-9).coef, expected, atol=1e-4)


@pytest.mark.parametrize("C", [1e-3, 1e-1])
def test_solver_primal_not_above_liblinear(C: float) -> None:
    X, y = overlapping(600, 20, 6)
    rival = LinearSVC(
        C=C, multi_class="crammer_singer", fit_intercept=False, tol=1e-8, max_iter=200_000, random_state=0
    ).fit(X, y)
    solution = solve(X, y, C, n_classes=6)
    theirs = reference.primal(X, y, rival.coef_, C)
    assert solution.certificate.primal == pytest.approx(theirs, rel=1e-6)
    assert solution.certificate.dual <= theirs * (1 + 1e-12)
    np.testing.assert_allclose(solution.coef, rival.coef_, atol=1e-3 * np.abs(rival.coef_).max())


def test_solve_without_zero_row_keeps_solution() -> None:
    X, y = overlapping(400, 12, 4, spread=0.6)
    whole = solve(X, y, 0.05, n_classes=4)
    assert 0 < len(whole.support) < 300
    rest = solve(X[whole.support], y[whole.support], 0.05, n_classes=4)
    np.testing.assert_allclose(rest.coef, whole.coef, atol=1e-6)
    np.testing.assert_array_equal(rest.support, np.arange(len(whole.support)))
    np.testing.assert_allclose(rest.dual_rows, whole.dual_rows, atol=1e-6)


@pytest.mark.slow
def test_solve_thousand_classes_converges() -> None:
    X, y = overlapping(400, 60, 1000, spread=0.3)
    solution = solve(X, y, 1.0, n_classes=1000)
    assert solution.certificate.converged
    assert solution.certificate.infeasibility <= 1e-12


def test_solve_duplicates_share_sum_of_one_row() -> None:
    X, y = overlapping(60, 6, 3)
    # A repeated sample acts like one with a doubled bound: only the sum of the two rows is unique.
    twice = solve(np.concatenate([X, X]), np.concatenate([y, y]), 0.05, n_classes=3)
    once = solve(X, y, 0.1, n_classes=3)
    np.testing.assert_allclose(twice.coef, once.coef, atol=1e-6)
    dual = _dense(twice, 120)
    np.testing.assert_allclose(dual[:60] + dual[60:], _dense(once, 60), atol=1e-6)
    again = solve(np.concatenate([X, X]), np.concatenate([y, y]), 0.05, n_classes=3)
    np.testing.assert_array_equal(again.dual_rows, twice.dual_rows)


def test_solve_float32_equals_float64() -> None:
    X, y = overlapping(500, 15, 5)
    single = X.astype(np.float32)
    one = solve(single, y, 0.02, n_classes=5)
    other = solve(single.astype(np.float64), y, 0.02, n_classes=5)
    np.testing.assert_array_equal(one.support, other.support)
    np.testing.assert_allclose(one.coef, other.coef, atol=1e-6)


def test_solve_from_start_reaches_same_optimum() -> None:
    X, y = overlapping(300, 10, 4)
    cold = solve(X, y, 0.1, n_classes=4)
    for C in (0.01, 1.0):
        warm = solve(X, y, 0.1, n_classes=4, start=solve(X, y, C, n_classes=4))
        np.testing.assert_array_equal(warm.support, cold.support)
        np.testing.assert_allclose(warm.coef, cold.coef, atol=1e-5)
    at_rest = solve(X, y, 0.1, n_classes=4, start=Start(cold.support, cold.dual_rows))
    np.testing.assert_array_equal(at_rest.support, cold.support)


def test_solve_excluded_samples_have_slack_and_no_row() -> None:
    X, y = overlapping(200, 8, 3)
    included = np.ones(200, dtype=np.bool_)
    included[::5] = False
    part = solve(X, y, 0.05, n_classes=3, included=included)
    alone = solve(X[included], y[included], 0.05, n_classes=3)
    np.testing.assert_allclose(part.coef, alone.coef, atol=1e-6)
    np.testing.assert_array_equal(part.support, np.flatnonzero(included)[alone.support])
    assert part.certificate.n_samples == 160
    assert part.certificate.primal == pytest.approx(alone.certificate.primal, rel=1e-6)
    assert len(part.slack) == 200


def test_solve_intercept_equals_constant_feature() -> None:
    X, y = overlapping(200, 8, 3)
    inside = solve(X, y, 0.05, n_classes=3, augment=True)
    outside = solve(np.hstack([X, np.ones((200, 1))]), y, 0.05, n_classes=3)
    np.testing.assert_allclose(inside.coef, outside.coef, atol=1e-6)
    np.testing.assert_array_equal(inside.support, outside.support)


def test_solve_progress_reports_falling_gap() -> None:
    X, y = overlapping(300, 10, 4)
    seen: list[tuple[int, float]] = []
    solution = solve(X, y, 0.1, n_classes=4, progress=lambda sweeps, gap: seen.append((sweeps, gap)))
    assert tuple(seen) == solution.history
    assert seen[-1][1] <= 1e-6 < seen[0][1]
    assert [sweeps for sweeps, _ in seen] == sorted(sweeps for sweeps, _ in seen)


def test_solve_out_of_sweeps_gives_reason() -> None:
    X, y = overlapping(300, 10, 4)
    solution = solve(X, y, 0.1, n_classes=4, max_sweeps=1)
    assert not solution.certificate.converged
    assert solution.certificate.relative_gap > 1e-6
    assert solution.certificate.infeasibility <= 1e-12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"C": 0.0}, "C must be positive"),
        ({"C": -1.0}, "C must be positive"),
        ({"C": float("nan")}, "C must be positive"),
        ({"n_classes": 1}, "at least 2 classes"),
        ({"n_classes": 2}, "label 2 of sample 7 is not in 0..1"),
    ],
)
def test_solve_invalid_arguments_are_refused(change: dict[str, float], message: str) -> None:
    X, y = overlapping(30, 4, 2)
    y[7] = 2
    arguments = {"C": 1.0, "n_classes": 3, **change}
    with pytest.raises(ValueError, match=message):
        solve(X, y, arguments["C"], n_classes=int(arguments["n_classes"]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_solve_sample_not_finite_is_named(bad: float, dtype: type) -> None:
    X, y = overlapping(30, 4, 2)
    X = X.astype(dtype)
    X[11, 3] = bad
    with pytest.raises(ValueError, match="sample 11 has a feature that is NaN or infinite"):
        solve(X, y, 1.0, n_classes=2)


def test_conjugate_gradients_equal_factorisation(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = overlapping(300, 12, 5)
    direct = solve(X, y, 0.1, n_classes=5)
    monkeypatch.setattr(face, "DENSE_FREEDOM", 0)
    iterated = solve(X, y, 0.1, n_classes=5)
    np.testing.assert_array_equal(direct.support, iterated.support)
    np.testing.assert_allclose(direct.coef, iterated.coef, atol=1e-6)


def test_proximal_step_satisfies_its_equation() -> None:
    X, y = overlapping(40, 5, 3)
    rng = np.random.default_rng(0)
    centre = np.array([reference.row_problem(rng.normal(size=3), int(label), 1.0, 0.1) for label in y])
    work = newton.WorkingSet(np.arange(40), X, y, centre.copy(), np.zeros((3, 5)), 0, Threads())
    for _ in range(60):
        # With a fixed centre, repeated steps would be one step; the test checks its fixed-point equation.
        work.dual = centre.copy()
        coef, _, finished = newton.proximal_step(work, centre.T @ X, 0.1, 0.7)
        assert finished
        break
    expected = np.empty_like(centre)
    kernels.proximal_rows(X @ coef.T, y, centre, 1 / 0.7, 0.1, expected)
    step = np.linalg.norm(work.dual - centre)
    assert np.linalg.norm(expected - work.dual) <= step
