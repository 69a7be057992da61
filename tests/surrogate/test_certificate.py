"""Tests of xda.surrogate.certificate: it is right for any dual rows, good or bad."""

# ruff: noqa: N806 - C and X are the names of the field
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from tests.reference import crammer_singer as reference
from tests.surrogate.problems import overlapping
from xda.surrogate import Certificate, Solution, blocks, certify, slack, solve


@pytest.fixture(scope="module")
def fitted() -> tuple[np.ndarray, np.ndarray, Solution]:
    X, y = overlapping(300, 10, 4)
    return X, y, solve(X, y, 0.05, n_classes=4)


def test_certify_every_form_of_dual_rows_agrees(fitted: tuple[np.ndarray, np.ndarray, Solution]) -> None:
    X, y, solution = fitted
    dense = np.zeros((300, 4))
    dense[solution.support] = solution.dual_rows
    stored = certify(X, y, solution.dual_rows, 0.05, support=solution.support)
    assert stored == certify(X, y, dense, 0.05)
    assert stored == certify(X, y, sparse.csr_array(dense), 0.05)
    assert stored == certify(X, y, sparse.csr_matrix(dense), 0.05)
    for name in ("primal", "dual", "n_support", "n_bounded", "n_samples", "converged", "C", "tol"):
        assert getattr(stored, name) == pytest.approx(getattr(solution.certificate, name), rel=1e-12)
    assert stored.primal == pytest.approx(reference.primal(X, y, dense.T @ X, 0.05), rel=1e-12)
    assert stored.dual == pytest.approx(reference.dual(X, y, dense, 0.05), rel=1e-12)
    assert stored.n_bounded == np.count_nonzero(solution.dual_rows.max(axis=1) >= 0.05)


def test_certify_perturbed_rows_have_larger_gap(fitted: tuple[np.ndarray, np.ndarray, Solution]) -> None:
    X, y, solution = fitted
    honest = certify(X, y, solution.dual_rows, 0.05, support=solution.support)
    gaps, violations = [honest.relative_gap], [honest.kkt_violation]
    for factor in (0.999, 0.99, 0.9):
        worse = certify(X, y, factor * solution.dual_rows, 0.05, support=solution.support)
        assert worse.infeasibility <= 1e-12
        gaps.append(worse.relative_gap)
        violations.append(worse.kkt_violation)
    assert gaps == sorted(gaps)
    assert gaps[1] > 1e3 * max(gaps[0], 1e-12)
    assert min(violations[1:]) > 1e3 * violations[0]
    dropped = certify(X, y, solution.dual_rows[1:], 0.05, support=solution.support[1:])
    assert not dropped.converged
    assert dropped.n_support == honest.n_support - 1


def test_certificate_gap_bounds_distance_of_weights() -> None:
    X, y = overlapping(60, 6, 3)
    alpha = reference.quadratic_program(X, y, 0.05, 3)
    for tol in (1e-1, 1e-2, 1e-4):
        found = solve(X, y, 0.05, n_classes=3, tol=tol)
        for factor in (1.0, 0.9):
            rows = factor * found.dual_rows
            certificate = certify(X, y, rows, 0.05, support=found.support)
            distance = np.linalg.norm(rows.T @ X[found.support] - alpha.T @ X)
            assert distance**2 <= 2.0 * (certificate.primal - certificate.dual) + 1e-9


def test_certify_infeasible_rows_do_not_converge(fitted: tuple[np.ndarray, np.ndarray, Solution]) -> None:
    X, y, solution = fitted
    broken = solution.dual_rows.copy()
    broken[0, 0] += 1e-4
    certificate = certify(X, y, broken, 0.05, support=solution.support)
    assert certificate.infeasibility == pytest.approx(1e-4 / 0.05, rel=1e-6)
    assert not certificate.converged
    assert not certify(X, y, 1.5 * solution.dual_rows, 0.05, support=solution.support).converged


def test_certificate_survives_json(fitted: tuple[np.ndarray, np.ndarray, Solution]) -> None:
    certificate = fitted[2].certificate
    assert Certificate(**json.loads(json.dumps(certificate.to_dict()))) == certificate
    values = certificate.to_dict()
    with pytest.raises(TypeError, match="colour"):
        Certificate(**{**values, "colour": 1})
    del values["primal"]
    with pytest.raises(TypeError, match="primal"):
        Certificate(**values)


def test_certify_mismatched_shapes_are_refused(fitted: tuple[np.ndarray, np.ndarray, Solution]) -> None:
    X, y, solution = fitted
    with pytest.raises(ValueError, match="dual rows for"):
        certify(X, y, solution.dual_rows, 0.05, support=solution.support[1:])
    with pytest.raises(ValueError, match="rows for 300 samples"):
        certify(X, y, solution.dual_rows, 0.05)
    left_out = np.ones(300, dtype=np.bool_)
    left_out[solution.support[3]] = False
    with pytest.raises(ValueError, match=f"sample {solution.support[3]} has a dual row"):
        certify(X, y, solution.dual_rows, 0.05, support=solution.support, included=left_out)


def test_certify_in_blocks_gives_same_numbers(
    fitted: tuple[np.ndarray, np.ndarray, Solution], monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y, solution = fitted
    whole = slack(X, y, solution.coef)
    np.testing.assert_allclose(whole, solution.slack, atol=1e-12)
    monkeypatch.setattr(blocks, "BLOCK_VALUES", 64)
    np.testing.assert_allclose(slack(X, y, solution.coef), whole, atol=1e-12)
    pieces = certify(X, y, solution.dual_rows, 0.05, support=solution.support)
    assert pieces.primal == pytest.approx(solution.certificate.primal, rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_certify_accepts_mapped_features(dtype: type, tmp_path: Path) -> None:
    X, y = overlapping(300, 10, 4)
    np.save(tmp_path / "features.npy", X.astype(dtype))
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    from_file = solve(mapped, y, 0.05, n_classes=4)
    in_memory = solve(X.astype(dtype).astype(np.float64), y, 0.05, n_classes=4)
    np.testing.assert_array_equal(from_file.support, in_memory.support)
    np.testing.assert_allclose(from_file.coef, in_memory.coef, atol=1e-6)
    again = certify(mapped, y, from_file.dual_rows, 0.05, support=from_file.support)
    assert again.converged
