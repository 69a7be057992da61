"""What every fitted surrogate answers, against the whole matrix of attributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.attribution.problems import make_problem
from tests.reference import dualda
from xda.services import fitted_surrogate
from xda.services.fitted_surrogate import FittedSurrogate
from xda.services.served_index import DeviceFeatures


@pytest.fixture
def surrogate() -> FittedSurrogate:
    problem = make_problem()
    features = DeviceFeatures(problem.features, torch.device("cpu"), index=problem.support.index)
    return FittedSurrogate(0.5, np.zeros((4, 7)), problem.support, features, np.zeros(60, np.float32))


@pytest.mark.parametrize("together", [1, 5, 1 << 12])
def test_influence_is_a_row_of_all_attributions(
    surrogate: FittedSurrogate, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(fitted_surrogate, "QUERIES", together)
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
