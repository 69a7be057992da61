"""Every fitted surrogate equals the whole matrix of attributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.attribution.problems import make_problem
from tests.reference import dualda
from xda.attribution.results import TestSample
from xda.decision import Decision
from xda.explanation import fitted_surrogate as surrogate_module
from xda.explanation.fitted_surrogate import FittedSurrogate
from xda.explanation.rankings import TrainingSet
from xda.networks.products import DeviceFeatures


@pytest.fixture
def surrogate() -> FittedSurrogate:
    problem = make_problem()
    features = DeviceFeatures(problem.features, torch.device("cpu"), index=problem.support.index)
    training = TrainingSet(problem.features, problem.labels, problem.labels, tuple("abcd"))
    return FittedSurrogate(0.5, np.zeros((4, 7)), problem.support, features, np.zeros(60, np.float32), training)


@pytest.mark.parametrize("together", [1, 5, 1 << 12])
def test_influence_equals_row_of_attributions(
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


def test_decompose_once_serves_all_views(surrogate: FittedSurrogate, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = make_problem()
    computed = 0
    products = surrogate.features.products

    def counted(rows: NDArray[np.int64], queries: NDArray[np.float32]) -> NDArray[np.float64]:
        nonlocal computed
        computed += 1
        return products(rows, queries)

    monkeypatch.setattr(surrogate.features, "products", counted)
    for i, query in enumerate(problem.queries[:2]):
        for against in (None, 2):
            test = TestSample(i, 0, 1, (0.0,) * 4, (0.0,) * 4)
            parts = surrogate.decompose(Decision(i, 0.5, 1, against), query, test)
            expected = dualda.attributions(problem.dual_coef, problem.features, query, 1)
            if against is not None:
                expected = expected - dualda.attributions(problem.dual_coef, problem.features, query, against)
            np.testing.assert_allclose(parts.attribution, expected[parts.index], rtol=1e-12)
            told = parts.explanation(3)
            assert [part.index for part in told.supporting] == parts.index[parts.attribution > 0][:3].tolist()
            assert parts.explanation(None, 2).sum_supporting == told.sum_supporting
            assert len(parts.by_class) == 4
            assert 0 <= parts.sparsity.l0 <= 1
    assert computed == 4
