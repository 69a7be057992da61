"""Singular systems end in an optimum or in the true reason, never in an exception; rows are feasible at every scale."""

# ruff: noqa: N803, N806 - C and X are the names of the field
from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from tests.reference import crammer_singer as reference
from tests.surrogate.degenerate import CS, Fit, fits, large_mean, low_rank
from tests.surrogate.problems import overlapping
from tests.sweeps import drawn
from xda.surrogate import CrammerSingerSVC, solve

pytestmark = pytest.mark.slow

# by default one of the 28 fits of each problem
_SEEDED = drawn(fits(), seed=7, share=28, family=lambda fit: (fit.name, fit.n_classes))


def _liblinear(X: NDArray[np.float64], y: NDArray[np.int64], C: float, n_classes: int) -> NDArray[np.float64]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        coef = (
            LinearSVC(C=C, multi_class="crammer_singer", fit_intercept=False, tol=0.05, random_state=0).fit(X, y).coef_
        )
    return np.concatenate([-coef, coef]) / 2.0 if n_classes == 2 else np.asarray(coef)


@pytest.mark.parametrize("fit", _SEEDED, ids=str)
def test_degenerate_problem_ends_in_an_optimum_or_a_reason(fit: Fit) -> None:
    solution = fit.solve()
    certificate = solution.certificate
    assert certificate.infeasibility <= 1e-12
    assert 1 <= certificate.n_sweeps <= 2000
    assert certificate.converged == (not solution.reason)
    X = fit.X.astype(np.float64)
    if fit.augment:
        X = np.hstack([X, np.ones((len(X), 1))])
    # Weak duality: no other program's weights are better than the dual value.
    dual_rows = np.zeros((len(X), fit.n_classes))
    dual_rows[solution.support] = solution.dual_rows
    bound = reference.dual(X, fit.y, dual_rows, fit.C)
    assert bound == pytest.approx(certificate.dual, rel=1e-5, abs=1e-9 * fit.C)
    ours = reference.primal(X, fit.y, solution.coef, fit.C)
    gap = (ours - bound) / max(1e-12, ours)
    assert gap == pytest.approx(certificate.relative_gap, rel=1e-2, abs=1e-6)
    weight = fit.C * float((X**2).sum())
    if weight < 1e4:  # LIBLINEAR takes minutes for larger C
        theirs = reference.primal(X, fit.y, _liblinear(X, fit.y, fit.C, fit.n_classes), fit.C)
        assert bound <= theirs * (1.0 + 1e-9)
        assert ours <= theirs * (1.0 + 1e-6)
    # The limit of float64: a fit may stall only if features are far from zero and C is large for them.
    assert certificate.converged or weight > 1e9


@pytest.mark.parametrize("C", CS)
@pytest.mark.parametrize("intercept", ["none", "augment"])
def test_features_of_large_mean_converge_without_linalg_error(C: float, intercept: str) -> None:
    X, y = large_mean()
    with warnings.catch_warnings():
        if C == 100.0:
            warnings.simplefilter("ignore", ConvergenceWarning)
        svc = CrammerSingerSVC(C=C, intercept=intercept).fit(X, y)
    # With random labels and this mean, no direction helps: all rows stay at their bound and W is nearly zero.
    assert svc.certificate_.primal == pytest.approx(svc.certificate_.dual, rel=1e-4)
    assert svc.certificate_.infeasibility <= 1e-12


@pytest.mark.parametrize("C", [1e-6, 1e-3, 1e-1])
def test_rank_nine_of_sixty_four_with_ten_classes_is_the_problem_in_nine_columns(C: float) -> None:
    X, y = low_rank(900, 64, 9, 10, spread=0.7)
    # The same problem in an orthonormal basis of its rows' space, where nothing is singular.
    _, values, basis = np.linalg.svd(X, full_matrices=False)
    assert values[9] < 1e-10 * values[0]
    inner = solve(X @ basis[:9].T, y, C, n_classes=10)
    outer = solve(X, y, C, n_classes=10)
    assert inner.certificate.converged
    assert outer.certificate.converged
    assert outer.certificate.primal == pytest.approx(inner.certificate.primal, rel=2e-6)
    np.testing.assert_allclose(outer.coef, inner.coef @ basis[:9], atol=2e-3 * np.abs(outer.coef).max())


@pytest.mark.parametrize("C", [1e-4, 1e-1, 10.0])
@pytest.mark.parametrize("make", ["mean", "rank", "constant", "copies"])
def test_small_degenerate_problem_has_the_value_of_an_interior_point(make: str, C: float) -> None:
    X, y = overlapping(40, 5, 3)
    rng = np.random.default_rng(0)
    X = {
        "mean": rng.normal(size=(40, 2)) + 30.0,
        "rank": X[:, :1] @ np.ones((1, 6)),
        "constant": np.hstack([X, np.full((40, 1), 20.0)]),
        "copies": np.tile(X[:10], (4, 1)),
    }[make]
    alpha = reference.quadratic_program(X, y, C, 3)
    best = reference.primal(X, y, alpha.T @ X, C)
    assert best - reference.dual(X, y, alpha, C) <= 1e-7 * best
    solution = solve(X, y, C, n_classes=3)
    assert solution.certificate.converged
    assert solution.certificate.primal == pytest.approx(best, rel=1.2e-6)


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e-8, 1e-6, 1e-3, 1.0, 1e3])
@pytest.mark.parametrize("n_classes", [2, 3, 20])
def test_rows_are_feasible_at_every_scale(scale: float, n_classes: int) -> None:
    X, y = overlapping(200, 8, n_classes)
    for C in (1e-8, 1e-3, 1.0):
        solution = solve(scale * X, y, C, n_classes=n_classes, max_sweeps=2000)
        assert solution.certificate.converged
        assert solution.certificate.infeasibility <= 1e-14
        rows, labels = solution.dual_rows, y[solution.support]
        own = rows[np.arange(len(rows)), labels]
        assert (own > 0.0).all()
        assert (own <= C).all()
        rows[np.arange(len(rows)), labels] = 0.0
        assert (rows <= 0.0).all()
        np.testing.assert_allclose(rows.sum(axis=1), -own, rtol=1e-14)
