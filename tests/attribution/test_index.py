"""The precomputed index against ranking everything from scratch."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.attribution.problems import make_problem
from tests.reference import dualda
from xda.attribution import index as index_module
from xda.attribution.index import AttributionIndex, build_index
from xda.storage.run import layout


@pytest.mark.parametrize("per_sign", [1, 3, 1000])
def test_index_holds_ranking_and_exact_totals(per_sign: int) -> None:
    problem = make_problem()
    targets = np.arange(len(problem.queries)) % 4
    arrays = build_index(problem.support, problem.products, problem.queries, targets, per_sign=per_sign, block=4)
    assert {name: array.dtype.str for name, array in arrays.items()} == {
        name: array.dtype.str for name, array in layout.INDEX.items()
    }
    index = AttributionIndex(arrays, per_sign)
    for test, target in enumerate(targets.tolist()):
        tau = dualda.attributions(problem.dual_coef, problem.features, problem.queries[test], target)
        for sign, factor in (("supporting", 1), ("opposing", -1)):
            entry = index.entry(test, sign)  # type: ignore[arg-type]
            of_sign = [i for i in np.argsort(-np.abs(tau), kind="stable").tolist() if tau[i] * factor > 0]
            assert problem.support.index[entry.position].tolist() == of_sign[:per_sign]
            np.testing.assert_allclose(entry.attribution, tau[of_sign[:per_sign]], rtol=1e-12)
            assert entry.total == pytest.approx(tau[of_sign].sum(), rel=1e-12)
            assert entry.count == len(of_sign)
        assert arrays["l0"][test] == pytest.approx(dualda.sparsity(tau)[0])
        assert arrays["hoyer"][test] == pytest.approx(dualda.sparsity(tau)[1])


@pytest.mark.parametrize("values", [1, 40, 1 << 24])
def test_index_in_bounded_memory_is_the_same(monkeypatch: pytest.MonkeyPatch, values: int) -> None:
    problem = make_problem()
    targets = np.arange(len(problem.queries)) % 4
    expected = build_index(problem.support, problem.products, problem.queries, targets, per_sign=3)
    sizes: list[int] = []

    def products(rows: NDArray[np.int64], queries: NDArray[np.float32]) -> NDArray[np.float64]:
        sizes.append(len(rows) * len(queries))
        return problem.products(rows, queries)

    monkeypatch.setattr(index_module, "BLOCK_VALUES", values)
    arrays = build_index(problem.support, products, problem.queries, targets, per_sign=3)
    one_query = max(len(problem.support.weights(target)[0]) for target in range(4))
    assert max(sizes) <= max(values, one_query)
    for name, array in arrays.items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-12, err_msg=name)


def test_index_progress_ends_at_number_of_test_images() -> None:
    problem = make_problem()
    seen: list[tuple[int, int]] = []
    build_index(
        problem.support,
        problem.products,
        problem.queries,
        np.zeros(len(problem.queries), dtype=np.int64),
        block=10,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(10, 23), (20, 23), (23, 23)]


def test_index_equals_dense_published_code() -> None:
    problem = make_problem()
    targets = np.arange(len(problem.queries)) % 4
    dense = dualda.dense_attributions(
        problem.dual_coef, problem.features.astype(np.float64), problem.queries.astype(np.float64), targets
    )
    for test, target in enumerate(targets.tolist()):
        expected = dualda.attributions(problem.dual_coef, problem.features, problem.queries[test], target)
        np.testing.assert_allclose(dense[test], expected, atol=1e-12)
