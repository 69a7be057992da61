"""The linear systems of the second-order phase against dense algebra, whichever way they are solved."""

# ruff: noqa: N806 - X is the name of the field
from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

from xda.surrogate import face
from xda.surrogate.threads import Threads


@pytest.mark.parametrize("band", [face.BAND, 7])
def test_gram_cache_keeps_products_across_rows(band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face, "BAND", band)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 6))
    cache = face.GramCache(X, Threads())
    for size in (5, 12, 10, 30, 8, 50):
        rows = np.sort(rng.permutation(50)[:size])
        products, place = cache(rows)
        np.testing.assert_allclose(products[np.ix_(place, place)], X[rows] @ X[rows].T, atol=1e-12)


@pytest.mark.parametrize(
    "ways",
    [
        pytest.param({"DENSE_WEIGHTS": 0}, id="factor in float64"),
        pytest.param({"DENSE_WEIGHTS": 0, "SINGLE_FREEDOM": 0}, id="factor in float32, refined"),
        pytest.param({"DENSE_WEIGHTS": 0, "SINGLE_FREEDOM": 0, "BAND": 8, "SHARED": 0}, id="in bands, among threads"),
        pytest.param({"DENSE_WEIGHTS": 0, "DENSE_FREEDOM": 0, "CONJUGATE_RESIDUAL": 1e-12}, id="conjugate gradients"),
        pytest.param({}, id="factor in the weights"),
    ],
)
@pytest.mark.parametrize("inverse_step", [10.0, 1e-2])
def test_face_solver_solves_the_system(
    ways: dict[str, float], inverse_step: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ways.items():
        monkeypatch.setattr(face, name, value)
    rng = np.random.default_rng(1)
    n_samples, n_features, n_classes = 60, 9, 5
    X = rng.normal(size=(n_samples, n_features))
    free = rng.random((n_samples, n_classes)) < 0.4
    free[free.sum(axis=1) < 2] = False
    freedom = int(np.maximum(free.sum(axis=1) - 1, 0).sum())
    residual = rng.normal(size=(n_classes, n_features))
    assert freedom > residual.size
    system = np.eye(residual.size)
    for row, mask in zip(X, free, strict=True):
        if mask.any():
            jacobian = np.diag(mask.astype(float)) - np.outer(mask, mask) / mask.sum()
            system += np.kron(jacobian, np.outer(row, row)) / inverse_step
    expected = np.linalg.solve(system, residual.ravel()).reshape(residual.shape)
    with Threads() as threads:
        solver = face.FaceSolver(X, threads)
        for _ in range(2):
            np.testing.assert_allclose(solver.solve(free, freedom, residual, inverse_step), expected, atol=1e-8)


def test_face_solver_without_freedom_returns_residual() -> None:
    residual = np.arange(6.0).reshape(2, 3)
    solver = face.FaceSolver(np.ones((4, 3)), Threads())
    assert solver.solve(np.zeros((4, 2), dtype=np.bool_), 0, residual, 1.0) is residual


@pytest.mark.parametrize(
    "ways",
    [
        pytest.param({}, id="in the weights"),
        pytest.param({"DENSE_WEIGHTS": 0}, id="in the face, float64"),
        pytest.param({"DENSE_WEIGHTS": 0, "SINGLE_FREEDOM": 0}, id="in the face, float32 first"),
        pytest.param({"GROWTHS": -1}, id="no factor at all"),
    ],
)
def test_face_solver_singular_system_gives_descent_direction(
    ways: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ways.items():
        monkeypatch.setattr(face, name, value)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 1)) @ np.ones((1, 3)) + 1e3
    X[100:] = X[:100]
    free = np.zeros((200, 4), dtype=np.bool_)
    free[:, :3] = True
    for inverse_step in (1e-3, 1e-9, 1e-14, 1e-20):
        residual = rng.normal(size=(4, 3))
        with Threads() as threads:
            solution = face.FaceSolver(X, threads).solve(free, 400, residual, inverse_step)
        assert np.isfinite(solution).all()
        assert np.vdot(solution, residual) > 0.0


def test_cholesky_hopeless_matrix_is_refused() -> None:
    with pytest.raises(linalg.LinAlgError, match="singular"):
        face._cholesky(np.array([[1.0, 0.0], [1e30, 1.0]]), 1.0)
    with pytest.raises(linalg.LinAlgError, match="not finite"):
        face._cholesky(np.array([[np.inf, 0.0], [0.0, 1.0]]), 1.0)
