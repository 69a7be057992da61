"""DualDA behind quanda's interface, judged by quanda's own metrics; skipped where quanda is not installed."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import xda

if TYPE_CHECKING:
    from xda.evaluate.quanda import QuandaExplainer

K, N, C = 4, 200, 1e-2
FLIPPED = list(range(0, 40, 4))


@pytest.fixture(scope="module")
def quanda() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what quanda imports warns of its own
        return pytest.importorskip("quanda", reason="the extra quanda is not installed")  # type: ignore[no-any-return]


@pytest.fixture(autouse=True)
def quandas_own_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def make_data(*, flipped: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.randn(N, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(N) % K
    images[torch.arange(N), 0, labels] += 3
    if flipped:
        labels[FLIPPED] = (labels[FLIPPED] + 1) % K
    return images, labels


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.ReLU(), nn.Linear(16, K))
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    images, labels = make_data()
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return network.eval()


@pytest.fixture
def adapted(quanda: ModuleType, model: nn.Module) -> QuandaExplainer:
    return xda.QuandaExplainer(model=model, train_dataset=TensorDataset(*make_data()), c=C)


def test_quanda_explainer_rows_sum_to_logit(quanda: ModuleType, adapted: Any) -> None:
    assert isinstance(adapted, quanda.Explainer)
    images, labels = make_data()
    for targets in (labels[:7], labels[:7].tolist()):
        found = adapted.explain(images[:7], targets)
        assert found.shape == (7, N)
        assert found.dtype == torch.float32
        told = adapted.fitted.explain(images[:7], target=labels[:7].tolist())
        np.testing.assert_allclose(found.sum(1), [e.surrogate_logit for e in told], rtol=1e-4)
        assert (found == 0).float().mean() > 0.5


def test_quanda_self_influence_equals_single_computations(quanda: ModuleType, adapted: Any) -> None:
    np.testing.assert_allclose(adapted.self_influence(), quanda.Explainer.self_influence(adapted), rtol=1e-5, atol=1e-7)


def test_quanda_class_detection_is_high(quanda: ModuleType, adapted: Any, model: nn.Module) -> None:
    images, _ = make_data()
    predicted = model(images).argmax(1)
    metric = quanda.ClassDetectionMetric(model=model, train_dataset=TensorDataset(*make_data()), s=3)
    metric.update(adapted.explain(images[:40], predicted[:40]), predicted[:40])
    assert metric.compute()["score"] > 0.9
    cardinality = quanda.TopKCardinalityMetric(model=model, train_dataset=TensorDataset(*make_data()), top_k=2)
    cardinality.update(adapted.explain(images[:40], predicted[:40]))
    assert 0 < cardinality.compute()["score"] <= 1


def test_quanda_benchmark_makes_explainer_and_finds_wrong_labels(quanda: ModuleType, model: nn.Module) -> None:
    metric = quanda.MislabelingDetectionMetric(
        model=model,
        train_dataset=TensorDataset(*make_data(flipped=True)),
        mislabeling_indices=FLIPPED,
        explainer_cls=xda.QuandaExplainer,
        expl_kwargs={"c": 1e-1},
    )
    assert metric.compute()["score"] > 0.8


def test_quanda_explainer_loads_last_checkpoint(quanda: ModuleType, model: nn.Module, tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("early.pt", "late.pt")]
    late = model.state_dict()
    torch.save({name: torch.zeros_like(value) for name, value in late.items()}, paths[0])
    torch.save(late, paths[1])
    fresh = nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.ReLU(), nn.Linear(16, K))
    data = TensorDataset(*make_data())
    loaded = xda.QuandaExplainer(model=fresh, train_dataset=data, checkpoints=paths, c=C)
    direct = xda.QuandaExplainer(model=model, train_dataset=data, c=C)
    images, labels = make_data()
    torch.testing.assert_close(loaded.explain(images[:3], labels[:3]), direct.explain(images[:3], labels[:3]))


def test_quanda_missing_says_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "xda.evaluate.quanda", raising=False)
    monkeypatch.setitem(sys.modules, "quanda", None)
    monkeypatch.setitem(sys.modules, "quanda.explainers", None)
    with pytest.raises(ModuleNotFoundError, match="install it with two commands: pip install"):
        importlib.import_module("xda.evaluate.quanda")
