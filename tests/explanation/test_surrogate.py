"""What every fitted surrogate answers, against the whole matrix of attributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.attribution.problems import make_problem
from tests.reference import dualda
from xda.explanation import surrogate as surrogate_module
from xda.explanation.surrogate import FittedSurrogate
from xda.networks.products import DeviceFeatures


@pytest.fixture
def surrogate() -> FittedSurrogate:
    problem = make_problem()
    features = DeviceFeatures(problem.features, torch.device("cpu"), index=problem.support.index)
    return FittedSurrogate(0.5, np.zeros((4, 7)), problem.support, features, np.zeros(60, np.float32))


@pytest.mark.parametrize("together", [1, 5, 1 << 12])
def test_influence_is_a_row_of_all_attributions(
    surrogate: FittedSurrogate, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(surrogate_module, "QUERIES", together)
    problem = make_problem()
    targets = np.arange(len(problem.queries)) % 4
    every = np.array(
        [
            dualda.attributions(problem.dual_coef, problem.features, query, target)
            for query, target in zip(problem.queries, targets.tolist(), strict=True)
        ]
    )
    for position, index in enumerate(problem.support.index.tolist()):
        found = surrogate.influence(position, problem.queries, targets)
        np.testing.assert_allclose(found, every[:, index], rtol=1e-12, atol=1e-15)


def test_one_decision_is_computed_once_and_cannot_be_changed(
    surrogate: FittedSurrogate, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = make_problem()
    computed = 0
    products = surrogate.features.products

    def counted(rows: NDArray[np.int64], queries: NDArray[np.float32]) -> NDArray[np.float64]:
        nonlocal computed
        computed += 1
        return products(rows, queries)

    monkeypatch.setattr(surrogate.features, "products", counted)
    for query in problem.queries[:2]:
        for against in (None, 2):
            rows, values = surrogate.values(query, 1, against)
            expected = dualda.attributions(problem.dual_coef, problem.features, query, 1)
            if against is not None:
                expected = expected - dualda.attributions(problem.dual_coef, problem.features, query, against)
            np.testing.assert_allclose(values, expected[problem.support.index[rows]], rtol=1e-12)
            surrogate.rank(query, 1, against, 3)
            surrogate.decompose(query, 1, against)
            assert surrogate.values(query.copy(), 1, against)[1] is values
    assert computed == 4
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 1.0
