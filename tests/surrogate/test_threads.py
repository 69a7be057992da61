"""Threads share the work and change nothing in the result."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

from xda.surrogate import threads
from xda.surrogate.threads import Threads


def test_threads_limit_blas_to_one_and_restore_it() -> None:
    before = [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]
    with Threads():
        assert {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"} == {1}
    assert [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"] == before


@pytest.mark.parametrize("shape", [(50, 7, 3), (3, 50, 7), (1, 1, 1), (5, 4, 60)])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_matmul_in_parts_equals_product(
    shape: tuple[int, int, int], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "LARGE", 0)
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=shape[:2]), rng.normal(size=shape[1:])
    with Threads() as pool:
        pool.count = count
        np.testing.assert_allclose(pool.matmul(left, right), left @ right, atol=1e-12)


def test_map_keeps_order_and_raises_errors() -> None:
    with Threads() as pool:
        pool.count = 3
        assert pool.map(lambda item: item * item, range(20)) == [item * item for item in range(20)]
        assert sorted(item for share in pool.shares(range(20)) for item in share) == list(range(20))
        with pytest.raises(ZeroDivisionError):
            pool.map(lambda item: 1 // item, [1, 0, 2])
