"""Each kernel against its slow twin."""

# ruff: noqa: N803, N806 - C and X are the names of the field
from __future__ import annotations

import numpy as np
import pytest

from tests.reference import crammer_singer as reference
from tests.surrogate.problems import overlapping
from xda.surrogate import face_kernels, kernels, objective, scan_kernels


def _random_rows(n: int, n_classes: int, C: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, n)
    scores = rng.normal(size=(n, n_classes))
    scores[:, 0] = scores[:, 1]
    dual = np.array([reference.row_problem(b, y, 1.0, C) for b, y in zip(scores, labels, strict=True)])
    return labels, dual


@pytest.mark.parametrize("n_classes", [2, 3, 10, 100])
@pytest.mark.parametrize("C", [1e-8, 1e-2, 1.0, 1e4])
def test_row_problem_equals_solution_by_sorting(n_classes: int, C: float) -> None:
    rng = np.random.default_rng(n_classes)
    labels, centre = _random_rows(200, n_classes, C, 1)
    scores = rng.normal(size=(200, n_classes)) * rng.choice([1e-3, 1.0, 30.0], size=(200, 1))
    inverse_step = 0.7
    dual = np.empty_like(scores)
    kernels.proximal_rows(scores, labels, centre, inverse_step, C, dual)
    for i, label in enumerate(labels):
        linear = scores[i] + (np.arange(n_classes) != label) - inverse_step * centre[i]
        expected = reference.row_problem(linear, label, inverse_step, C)
        np.testing.assert_allclose(dual[i], expected, rtol=1e-9, atol=1e-13 * max(1.0, C))
        others = np.delete(linear, label)
        assert (not dual[i].any()) == (others.max() <= linear[label])
    bounds = np.zeros_like(dual)
    bounds[np.arange(200), labels] = C
    assert (dual <= bounds).all()
    np.testing.assert_allclose(dual.sum(axis=1), 0.0, atol=1e-15 * C * n_classes)


def test_ascend_equals_sweep_of_the_paper() -> None:
    X, y = overlapping(40, 6, 4)
    coef = np.zeros((4, 6))
    dual = np.zeros((40, 4))
    order = np.arange(40)
    # Some rows go by a list of all their entries, some by the sign for all.
    lists, counts = np.tile(np.arange(4, dtype=np.int32), (40, 1)), np.where(order % 2, 4, -1).astype(np.int32)
    moved = np.empty(40, dtype=np.bool_)
    for _ in range(3):
        before = dual.copy()
        kernels.ascend(X, y, (X**2).sum(axis=1), 0.05, order, coef, dual, lists, counts, moved)
        np.testing.assert_array_equal(moved, (np.abs(dual - before) > 1e-12 * 0.05).any(axis=1))
    assert 0 < moved.sum() < 40
    expected = reference.ascent(X, y, 0.05, 4, 3)
    np.testing.assert_allclose(dual, expected, atol=1e-14)
    np.testing.assert_allclose(coef, expected.T @ X, atol=1e-12)


def test_ascend_with_lists_moves_listed_entries_only() -> None:
    X, y = overlapping(40, 6, 4)
    norms, order = (X**2).sum(axis=1), np.arange(40)
    # Without entry 3 (or 2, where 3 is the label) the problem is that of three classes.
    left_out = np.where(y == 3, 2, 3)
    lists = np.array([np.delete(np.arange(4, dtype=np.int32), m) for m in left_out])
    coef, dual = np.zeros((4, 6)), np.zeros((40, 4))
    moved = np.empty(40, dtype=np.bool_)
    kernels.ascend(X, y, norms, 0.05, order, coef, dual, lists, np.full(40, 3, dtype=np.int32), moved)
    assert not dual[order, left_out].any()
    np.testing.assert_allclose(coef, dual.T @ X, atol=1e-12)
    weights = np.zeros((4, 6))
    for i in order:
        linear = weights @ X[i] + (np.arange(4) != y[i])
        expected = np.zeros(4)
        expected[lists[i]] = reference.row_problem(
            linear[lists[i]], int(np.flatnonzero(lists[i] == y[i])[0]), norms[i], 0.05
        )
        np.testing.assert_allclose(dual[i], expected, atol=1e-14)
        weights += expected[:, None] * X[i]


@pytest.mark.parametrize("room", [3, 6, 12])
def test_shortlist_holds_every_entry_in_reach(room: int) -> None:
    rng = np.random.default_rng(room)
    C, n_classes = 0.4, 12
    labels, dual = _random_rows(200, n_classes, C, 6)
    scores = rng.normal(size=(200, n_classes))
    slack, distance, reach = np.empty(200), np.empty(200), rng.uniform(0.01, 1.0, 200)
    lists, counts = np.empty((200, room), dtype=np.int32), np.empty(200, dtype=np.int32)
    scan_kernels.survey(scores, labels, dual, C, slack, distance)
    scan_kernels.shortlist(scores, labels, dual, distance, reach, lists, counts)
    for i, label in enumerate(labels):
        others = np.delete(np.arange(n_classes), label)
        best = others[scores[i, others].argmax()]
        near = {int(m) for m in others if scores[i, m] >= scores[i, best] - reach[i]}
        needed = {int(label), int(best), *map(int, np.flatnonzero(dual[i]))}
        if counts[i] < 0:
            assert distance[i] > 4.0 * reach[i] or len(needed) > room
            continue
        listed = list(map(int, lists[i, : counts[i]]))
        assert needed <= set(listed) <= needed | near
        assert len(set(listed)) == len(listed)
        if len(needed | near) <= room:
            assert set(listed) == needed | near


@pytest.mark.parametrize("n_features", [5, 700])
def test_survey_and_shortlist_equals_both_kernels(n_features: int) -> None:
    rng = np.random.default_rng(n_features)
    C, n, room = 0.4, 200, 4
    labels, dual = _random_rows(n, 6, C, 7)
    X, coef = rng.normal(size=(n, n_features)), rng.normal(size=(6, n_features))
    reach = rng.uniform(0.01, 1.0, n)
    before = np.where(rng.random(n) < 0.3, -np.inf, rng.normal(size=n))
    slack, distance, moved = np.empty(n), before.copy(), np.empty(n)
    lists, counts = np.zeros((n, room), dtype=np.int32), np.empty(n, dtype=np.int32)
    weights = np.ascontiguousarray(coef.T)
    scan_kernels.survey_and_shortlist(X, weights, labels, dual, C, reach, slack, distance, moved, lists, counts)

    scores = X @ coef.T
    expected = np.empty(n), np.empty(n), np.zeros((n, room), dtype=np.int32), np.empty(n, dtype=np.int32)
    scan_kernels.survey(scores, labels, dual, C, *expected[:2])
    np.testing.assert_array_equal(scores, X @ coef.T)
    scan_kernels.shortlist(scores, labels, dual, expected[1], reach, *expected[2:])
    np.testing.assert_allclose(slack, expected[0], atol=1e-12)
    np.testing.assert_allclose(distance, expected[1], atol=1e-12)
    np.testing.assert_array_equal(lists, expected[2])
    np.testing.assert_array_equal(counts, expected[3])
    corner = np.isfinite(before) & np.isfinite(distance)
    assert 0 < corner.sum() < n
    np.testing.assert_allclose(moved[corner], np.abs(distance[corner] - before[corner]), atol=1e-12)
    assert (moved[~corner] == -1.0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_slacks_and_violations_equal_equations(dtype: type) -> None:
    rng = np.random.default_rng(8)
    C, n = 0.4, 1500
    labels, dual = _random_rows(n, 6, C, 8)
    X: np.ndarray = rng.normal(size=(n, 90)).astype(dtype)
    coef = rng.normal(size=(6, 90))
    support = np.flatnonzero(dual.any(axis=1))
    assert 0 < len(support) < n
    place = np.full(n, -1)
    place[support] = np.arange(len(support))
    slack, violation = np.empty(n), np.empty(n)
    weights = np.ascontiguousarray(coef.T)
    scan_kernels.slacks_and_violations(X, weights, labels, place, dual[support], C, slack, violation)
    augmented = objective.scores(X.astype(np.float64), coef, labels)
    np.testing.assert_allclose(slack, objective.slacks(augmented, labels), atol=1e-12)
    np.testing.assert_allclose(violation, reference.kkt_violations(augmented, dual, labels, C), atol=1e-12)


def test_free_classes_equal_moving_entries_of_projection() -> None:
    n_classes, C, inverse_step = 6, 0.4, 0.5
    labels, centre = _random_rows(60, n_classes, C, 3)
    rng = np.random.default_rng(4)
    scores = rng.normal(size=(60, n_classes))
    dual, moved = np.empty_like(scores), np.empty_like(scores)
    free = np.empty(scores.shape, dtype=np.bool_)
    kernels.proximal_rows(scores, labels, centre, inverse_step, C, dual)
    freedom = face_kernels.free_classes(dual, labels, C, free)
    assert freedom == sum(max(0, row.sum() - 1) for row in free)
    # J is the derivative of the projection: compare with a finite difference in a random direction.
    direction = rng.normal(size=scores.shape)
    kernels.proximal_rows(scores - 1e-7 * inverse_step * direction, labels, centre, inverse_step, C, moved)
    predicted = direction.copy()
    face_kernels.centre_rows(free, predicted)
    np.testing.assert_allclose((moved - dual) / 1e-7, predicted, atol=1e-6)
    for mask, values, row in zip(free, direction, predicted, strict=True):
        expected = np.zeros(n_classes)
        if mask.any():
            expected[mask] = values[mask] - values[mask].mean()
        np.testing.assert_allclose(row, expected, atol=1e-14)


def test_face_basis_is_orthonormal_and_matrix_equals_twin() -> None:
    rng = np.random.default_rng(5)
    free = rng.random((20, 5)) < 0.5
    free[free.sum(axis=1) < 2] = False
    freedom = int(np.maximum(free.sum(axis=1) - 1, 0).sum())
    basis, owner = np.empty((freedom, 5)), np.empty(freedom, dtype=np.int64)
    face_kernels.basis_of(free, basis, owner)
    for i in range(20):
        rows = basis[owner == i]
        np.testing.assert_allclose(rows @ rows.T, np.eye(len(rows)), atol=1e-14)
        values = np.eye(5)
        face_kernels.centre_rows(np.repeat(free[i : i + 1], 5, axis=0), values)
        np.testing.assert_allclose(rows.T @ rows, values, atol=1e-14)
    Z = rng.normal(size=(20, 7))
    wide = np.einsum("pk,pd->pkd", basis, Z[owner]).reshape(freedom, -1)
    matrix, place = basis @ basis.T, rng.permutation(20)
    gram = np.empty((20, 20))
    gram[np.ix_(place, place)] = Z @ Z.T
    for start, stop in ((0, 7), (7, freedom)):
        face_kernels.scale_by_gram(gram, place[owner], start, stop, matrix)
    np.testing.assert_allclose(np.tril(matrix), np.tril(wide @ wide.T), atol=1e-12)
    values, moved = rng.normal(size=freedom), np.zeros((20, 5))
    face_kernels.add_directions(basis, owner, values, moved)
    weights = np.zeros((5, 7))
    for start, stop in ((0, 9), (9, 20)):
        face_kernels.add_weights(Z, free, start, stop, moved, weights)
    np.testing.assert_allclose(weights.ravel(), values @ wide, atol=1e-12)
    scores = np.zeros((20, 5))
    face_kernels.scores_of(Z, free, 0, 20, weights, scores)
    np.testing.assert_allclose(scores, np.where(free, Z @ weights.T, 0.0), atol=1e-12)


def test_survey_distance_is_smallest_move_out_of_corner() -> None:
    C = 0.5
    labels = np.array([0, 0, 0, 1, 1])
    dual = np.array([[0.0, 0, 0], [C, -C, 0], [C, 0, -C], [-0.1, 0.1, 0], [-0.2, C, -0.3]])
    scores = np.array([[2.5, 0, 1.0], [0.0, 1.0, 0.2], [0.0, 1.0, 0.2], [0.0, 0.9, 0.0], [1.0, 0.0, 1.0]])
    slack, distance = np.empty(5), np.empty(5)
    scan_kernels.survey(scores, labels, dual, C, slack, distance)
    np.testing.assert_allclose(distance, [0.5, 0.8, -0.8, -np.inf, -np.inf])
    np.testing.assert_allclose(slack, objective.slacks(objective.scores(scores, np.eye(3), labels), labels))
