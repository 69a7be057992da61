"""The scikit-learn estimator: contract, path, refit, refusals, interruption."""

# ruff: noqa: N803, N806 - C and X are the names of the field
from __future__ import annotations

import pickle
import warnings
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils.estimator_checks import check_estimator

from tests.surrogate.problems import overlapping
from xda.surrogate import CrammerSingerSVC, certificate, certify, solve, solver


@pytest.fixture(scope="module")
def fitted() -> CrammerSingerSVC:
    return CrammerSingerSVC(C=0.05).fit(*overlapping(400, 12, 4))


@pytest.mark.slow
@pytest.mark.parametrize("intercept", ["none", "augment"])
def test_estimator_passes_scikit_learn_checks(intercept: str) -> None:
    with warnings.catch_warnings():
        # Two checks skip themselves: they need pandas and an environment variable.
        warnings.filterwarnings("ignore", category=UserWarning)
        results = check_estimator(CrammerSingerSVC(intercept=intercept), on_fail=None)
    assert [(one["check_name"], repr(one["exception"])) for one in results if one["status"] == "failed"] == []
    assert sum(one["status"] == "passed" for one in results) > 45


def test_fit_sets_attributes_of_the_contract(fitted: CrammerSingerSVC) -> None:
    X, _ = overlapping(400, 12, 4)
    assert fitted.coef_.shape == (4, 12)
    assert fitted.coef_.dtype == np.float64
    assert fitted.dual_coef_.shape == (400, 4)
    assert fitted.dual_coef_.format == "csr"
    np.testing.assert_array_equal(fitted.support_, np.flatnonzero(np.diff(fitted.dual_coef_.indptr)))
    np.testing.assert_allclose(fitted.dual_coef_.T @ X, fitted.coef_, atol=1e-12)
    np.testing.assert_array_equal(fitted.intercept_, np.zeros(4))
    assert fitted.slack_.shape == (400,)
    assert fitted.certificate_.converged
    assert fitted.certificate_.relative_gap <= 1e-6
    assert fitted.certificate_.n_support == len(fitted.support_)
    assert fitted.n_features_in_ == 12
    np.testing.assert_allclose(fitted.decision_function(X), X @ fitted.coef_.T, atol=1e-12)
    np.testing.assert_array_equal(fitted.predict(X), (X @ fitted.coef_.T).argmax(axis=1))


def test_fit_dual_rows_equal_solver(fitted: CrammerSingerSVC) -> None:
    X, y = overlapping(400, 12, 4)
    solution = solve(X, y, 0.05, n_classes=4)
    np.testing.assert_array_equal(fitted.dual_coef_[fitted.support_].toarray(), solution.dual_rows)
    assert certify(X, y, fitted.dual_coef_, 0.05).relative_gap == pytest.approx(
        fitted.certificate_.relative_gap, abs=1e-12
    )


def test_fit_accepts_labels_of_any_type() -> None:
    X, y = overlapping(90, 6, 3)
    names = np.array(["ship", "cat", "truck"])[y]
    svc = CrammerSingerSVC(C=0.1).fit(X, names)
    assert svc.classes_.tolist() == ["cat", "ship", "truck"]
    assert set(svc.predict(X)) <= set(names)
    assert svc.score(X, names) > 0.8


def test_decision_function_two_classes_has_one_column() -> None:
    X, y = overlapping(80, 5, 2)
    svc = CrammerSingerSVC(C=0.1).fit(X, y)
    assert svc.coef_.shape == (2, 5)
    np.testing.assert_allclose(svc.coef_[0], -svc.coef_[1], atol=1e-12)
    np.testing.assert_allclose(svc.decision_function(X), X @ (svc.coef_[1] - svc.coef_[0]), atol=1e-12)
    np.testing.assert_array_equal(svc.predict(X), (svc.decision_function(X) > 0).astype(int))


def test_decision_function_includes_intercept() -> None:
    X, y = overlapping(200, 6, 3)
    svc = CrammerSingerSVC(C=0.1, intercept="augment").fit(X, y)
    assert svc.coef_.shape == (3, 6)
    assert np.abs(svc.intercept_).max() > 0
    np.testing.assert_allclose(svc.intercept_, svc.dual_coef_.sum(axis=0), atol=1e-12)
    np.testing.assert_allclose(svc.decision_function(X), X @ svc.coef_.T + svc.intercept_, atol=1e-12)


def test_path_equals_separate_fits() -> None:
    X, y = overlapping(300, 10, 4)
    Cs = [0.1, 0.001, 1.0]
    for C, one in zip(Cs, CrammerSingerSVC.path(X, y, Cs, tol=1e-7), strict=True):
        alone = CrammerSingerSVC(C=C, tol=1e-7).fit(X, y)
        assert one.C == C
        assert one.get_params() == alone.get_params()
        np.testing.assert_array_equal(one.support_, alone.support_)
        np.testing.assert_allclose(one.coef_, alone.coef_, atol=1e-5 * np.abs(alone.coef_).max())
        np.testing.assert_allclose(one.slack_, alone.slack_, atol=1e-4)


def _same(one: CrammerSingerSVC, other: CrammerSingerSVC, places: Any) -> None:
    np.testing.assert_allclose(one.coef_, other.coef_, atol=1e-5 * np.abs(other.coef_).max())
    np.testing.assert_array_equal(one.support_, places[other.support_])
    np.testing.assert_allclose(one.slack_[places], other.slack_, atol=1e-4)
    assert one.certificate_.n_samples == other.certificate_.n_samples
    assert one.certificate_.primal == pytest.approx(other.certificate_.primal, rel=2e-6)
    assert one.certificate_.converged


def test_refit_without_samples_equals_fresh_fit(fitted: CrammerSingerSVC) -> None:
    X, y = overlapping(400, 12, 4)
    remove = np.concatenate([fitted.support_[:10], [399, 398]])
    twin = fitted.refit(remove=remove)
    kept = np.setdiff1d(np.arange(400), remove)
    _same(twin, CrammerSingerSVC(C=0.05).fit(X[kept], y[kept]), kept)
    np.testing.assert_array_equal(twin.removed_, np.sort(remove))
    # Refit the refitted one too; the first estimator is unchanged.
    further = twin.refit(remove=[fitted.support_[20]])
    assert set(further.removed_) == {*remove.tolist(), fitted.support_[20]}
    assert fitted.certificate_.n_samples == 400
    assert len(fitted.removed_) == 0


def test_refit_with_other_labels_equals_fresh_fit(fitted: CrammerSingerSVC) -> None:
    X, y = overlapping(400, 12, 4)
    changed = y.copy()
    relabel = {int(i): int((y[i] + 1) % 4) for i in (*fitted.support_[:5], 7, 8)}
    for index, label in relabel.items():
        changed[index] = label
    _same(fitted.refit(relabel=relabel), CrammerSingerSVC(C=0.05).fit(X, changed), np.arange(400))
    both = fitted.refit(relabel=relabel, remove=[0, 1])
    _same(both, CrammerSingerSVC(C=0.05).fit(X[2:], changed[2:]), np.arange(2, 400))


def test_refit_without_zero_rows_changes_nothing(fitted: CrammerSingerSVC) -> None:
    idle = np.setdiff1d(np.arange(400), fitted.support_)[:50]
    assert len(idle) > 0
    twin = fitted.refit(remove=idle)
    assert twin.coef_ is fitted.coef_
    assert twin.dual_coef_ is fitted.dual_coef_
    assert twin.certificate_.n_sweeps == 0
    assert twin.certificate_.n_samples == 400 - len(idle)
    X, y = overlapping(400, 12, 4)
    included = np.ones(400, dtype=np.bool_)
    included[idle] = False
    honest = certify(X, y, twin.dual_coef_, 0.05, included=included)
    assert honest.relative_gap <= 1e-6
    assert honest.primal == pytest.approx(twin.certificate_.primal, rel=1e-9)


def test_refit_reads_a_mask_as_a_mask(fitted: CrammerSingerSVC) -> None:
    mask = np.zeros(400, dtype=np.bool_)
    mask[fitted.support_[[3, 8]]] = True
    expected = fitted.support_[[3, 8]].tolist()
    for remove in (mask, mask.tolist(), expected, np.array(expected, dtype=np.uint16), {*expected}, iter(expected)):
        assert fitted.refit(remove=remove).removed_.tolist() == expected
    assert len(fitted.refit(remove=np.zeros(400, dtype=np.bool_)).removed_) == 0
    assert len(fitted.refit(remove=np.array([])).removed_) == 0
    change: Any = {np.int32(expected[0]): np.int64(0)}
    twin = fitted.refit(relabel=change)
    assert twin._data[1][expected[0]] == 0


@pytest.mark.parametrize(
    ("remove", "words"),
    [
        (np.ones(399, dtype=np.bool_), "mask of 399 samples; the surrogate was fitted to 400"),
        ([True, False], "mask of 2 samples"),
        ([1.7], r"whole numbers, or by a mask over all of them, not by 1.7"),
        (np.array([1.0]), r"not by np.float64\(1.0\)"),
        (np.zeros(400), "not by"),
        ("12", "list of sample numbers or a mask, not '12'"),
        (["1"], "not by '1'"),
        ([1, True], "not by True"),
        ([None], "not by None"),
        (None, "list of sample numbers or a mask, not None"),
        (3, "list of sample numbers or a mask, not 3"),
        ({3: 1}, "list of sample numbers or a mask"),
        ([[1, 2]], r"not by \[1, 2\]"),
        (np.array([[1, 2]]), r"not an array of shape \(1, 2\)"),
        (np.array(1), r"not an array of shape \(\)"),
    ],
)
def test_refit_invalid_samples_are_refused(fitted: CrammerSingerSVC, remove: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fitted.refit(remove=remove)


@pytest.mark.parametrize(
    ("relabel", "words"),
    [
        ({1.7: 0}, "relabel names samples by whole numbers"),
        ({"1": 0}, "not by '1'"),
        ({True: 0}, "not by True"),
        ({None: 0}, "not by None"),
        ([3, 1], "relabel must be a mapping from sample numbers to labels"),
        ({3: True}, "sample 3 cannot get the label True"),
        ({3: [1]}, r"sample 3 cannot get the label \[1\]"),
        ({3: "1"}, "sample 3 cannot get the label '1'"),
    ],
)
def test_refit_invalid_labels_are_refused(fitted: CrammerSingerSVC, relabel: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fitted.refit(relabel=relabel)


def test_refit_impossible_request_gives_reason(fitted: CrammerSingerSVC) -> None:
    with pytest.raises(ValueError, match="no sample 400 among 400"):
        fitted.refit(remove=[400])
    with pytest.raises(ValueError, match="no sample -1 among 400"):
        fitted.refit(relabel={-1: 0})
    with pytest.raises(ValueError, match="sample 3 cannot get the label 9"):
        fitted.refit(relabel={3: 9})
    with pytest.raises(ValueError, match="training data"):
        pickle.loads(pickle.dumps(fitted)).refit(remove=[1])
    with pytest.raises(NotFittedError):
        CrammerSingerSVC().refit(remove=[1])


def test_pickled_estimator_predicts_the_same_without_data(fitted: CrammerSingerSVC) -> None:
    X, _ = overlapping(400, 12, 4)
    stored = pickle.dumps(fitted)
    assert len(stored) < X.nbytes
    np.testing.assert_array_equal(pickle.loads(stored).predict(X), fitted.predict(X))


def test_fit_not_converged_warns_with_gap() -> None:
    X, y = overlapping(300, 10, 4)
    with pytest.warns(ConvergenceWarning, match=r"relative gap \d\.\d\de[-+]\d+, asked for 1.00e-06"):
        svc = CrammerSingerSVC(C=0.1, max_iter=1).fit(X, y)
    assert not svc.certificate_.converged


@pytest.mark.parametrize("max_iter", [1, 2, 3, 7, 30, 45, 60])
def test_max_iter_bounds_sweeps_and_steps_together(max_iter: int) -> None:
    X, y = overlapping(300, 10, 4, spread=3.0)
    with pytest.warns(ConvergenceWarning, match=f"all {max_iter} sweeps and steps allowed are used up"):
        svc = CrammerSingerSVC(C=1.0, max_iter=max_iter).fit(X, y)
    assert svc.n_iter_ == max_iter


def test_solve_from_optimum_makes_one_sweep() -> None:
    X, y = overlapping(300, 10, 4)
    start = solve(X, y, 0.1, n_classes=4, tol=1e-9)
    again = solve(X, y, 0.1, n_classes=4, start=start)
    assert 1 <= again.certificate.n_sweeps < start.certificate.n_sweeps
    np.testing.assert_array_equal(again.support, start.support)


def test_warning_of_stalled_fit_differs_from_used_up_sweeps() -> None:
    X, y = overlapping(300, 10, 4)
    with pytest.warns(ConvergenceWarning, match=r"relative gap \d\.\d\de-\d+, asked for 1.00e-18: stalled"):
        svc = CrammerSingerSVC(C=0.1, tol=1e-18).fit(X, y)
    assert svc.n_iter_ < svc.max_iter


def test_warning_names_rows_that_are_not_feasible(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = overlapping(60, 5, 3)
    monkeypatch.setattr(certificate, "FEASIBLE", -1.0)
    monkeypatch.setattr(solver, "FEASIBLE", -1.0)
    with pytest.warns(ConvergenceWarning, match="infeasible: the dual rows break their bounds by .* of C") as caught:
        CrammerSingerSVC(C=0.1).fit(X, y)
    assert "gap" not in str(caught[0].message)


@pytest.mark.parametrize("max_iter", [0, -1, 1.5, 10.0, True, "10", None])
def test_max_iter_not_a_count_is_refused(max_iter: Any) -> None:
    with pytest.raises(ValueError, match="max_iter must be a whole number, 1 or more, not"):
        CrammerSingerSVC(max_iter=max_iter).fit(*overlapping(30, 4, 2))


@pytest.mark.parametrize("parameter", ["C", "tol"])
def test_fit_c_and_tol_accept_real_numbers_only(parameter: str) -> None:
    data = overlapping(30, 4, 2)
    real: tuple[Any, ...] = (np.float32(1e-3), np.float16(1e-3), Fraction(1, 1000), np.float64(1e-3))
    for value in real:
        assert CrammerSingerSVC().set_params(**{parameter: value}).fit(*data).certificate_.converged
    whole = CrammerSingerSVC().set_params(C=np.int64(1), max_iter=np.int32(500))
    assert whole.fit(*data).certificate_.C == 1.0
    for wrong in (True, np.True_, "1", None, 0.0, -1e-3, float("nan"), float("inf"), 1j, np.array([1.0])):
        with pytest.raises(ValueError, match=f"{parameter} must be positive and finite, not"):
            CrammerSingerSVC().set_params(**{parameter: wrong}).fit(*data)


@pytest.mark.parametrize("C", [0.0, -1.0, float("nan"), float("inf")])
def test_fit_invalid_c_is_refused(C: float) -> None:
    with pytest.raises(ValueError, match="C must be positive"):
        CrammerSingerSVC(C=C).fit(*overlapping(30, 4, 2))


def test_fit_invalid_data_are_refused_by_name() -> None:
    X, y = overlapping(30, 4, 2)
    with pytest.raises(ValueError, match="only one class"):
        CrammerSingerSVC().fit(X, np.zeros(30))
    with pytest.raises(ValueError, match="intercept must be"):
        CrammerSingerSVC(intercept="yes").fit(X, y)
    X[12, 1] = np.nan
    with pytest.raises(ValueError, match="sample 12 has a feature that is NaN"):
        CrammerSingerSVC().fit(X, y)
    svc = CrammerSingerSVC().fit(*overlapping(30, 4, 2))
    with pytest.raises(ValueError, match="sample 12 has a feature that is NaN"):
        svc.predict(X)


def test_fit_interrupted_leaves_estimator_unchanged() -> None:
    X, y = overlapping(300, 10, 4)

    def stop(sweeps: int, gap: float) -> None:
        raise KeyboardInterrupt

    svc = CrammerSingerSVC(C=0.1)
    with pytest.raises(KeyboardInterrupt):
        svc.fit(X, y, progress=stop)
    with pytest.raises(NotFittedError):
        svc.predict(X)
    assert vars(svc) == vars(clone(svc))
    svc.fit(X, y)
    before = svc.coef_.copy()
    with pytest.raises(KeyboardInterrupt):
        svc.fit(X[:, :5], y, progress=stop)
    np.testing.assert_array_equal(svc.coef_, before)
    assert svc.predict(X).shape == (300,)
    with pytest.raises(KeyboardInterrupt):
        svc.refit(remove=svc.support_[:5], progress=stop)
    np.testing.assert_array_equal(svc.coef_, before)


def test_fit_same_random_state_is_repeatable() -> None:
    X, y = overlapping(300, 10, 4)
    one, other = (CrammerSingerSVC(C=0.1, random_state=3).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(one.coef_, other.coef_)
    assert (one.dual_coef_ != other.dual_coef_).nnz == 0


def test_fit_mapped_features_stay_on_disk(tmp_path: Path) -> None:
    X, y = overlapping(400, 12, 4)
    np.save(tmp_path / "features.npy", X.astype(np.float32))
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    svc = CrammerSingerSVC(C=0.05).fit(mapped, y)
    assert np.shares_memory(svc._data[0], mapped)
    in_memory = CrammerSingerSVC(C=0.05).fit(X.astype(np.float32), y)
    np.testing.assert_array_equal(svc.support_, in_memory.support_)
    np.testing.assert_allclose(svc.coef_, in_memory.coef_, atol=1e-6)
