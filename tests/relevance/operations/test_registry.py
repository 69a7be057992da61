"""Tests of xda.relevance.operations.registry; the operation of the how-to page is registered by its steps alone."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everybody writes it

from xda.data.tensors import AsGiven
from xda.relevance import operations
from xda.relevance.nodes import module_of, single_signal
from xda.relevance.operations import registry
from xda.relevance.relevance_model import RelevanceModel
from xda.relevance.rules import Layer

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "add-a-network-operation.md"


class Shuffled(nn.Module):
    """A convolution and an operation unknown to the product."""

    def __init__(self, called: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 4, 3, bias=False)
        self.head = nn.Linear(64, 2)
        self.shuffle = nn.PixelShuffle(2)
        self.called = called

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.conv(x))
        x = F.pixel_shuffle(x, 2) if self.called else self.shuffle(x)
        return self.head(x.flatten(1))  # type: ignore[no-any-return]


def model_of(network: nn.Module) -> RelevanceModel:
    return RelevanceModel(network.double(), AsGiven((1, 6, 6)), torch.device("cpu"))


@pytest.fixture
def _pixel_shuffle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Write the module of the how-to page's second step beside the others."""
    (module,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    (tmp_path / "pixel_shuffle.py").write_text(textwrap.dedent(module))
    registry.known_operations()  # registers the real operations first, in the list that stays
    monkeypatch.setattr(registry, "_registered", registry._registered.copy())
    monkeypatch.setattr(operations, "__path__", [*operations.__path__, str(tmp_path)])
    yield
    sys.modules.pop("xda.relevance.operations.pixel_shuffle", None)


@pytest.mark.parametrize("called", [True, False])
def test_network_with_an_unknown_operation_is_refused_by_its_name(called: bool) -> None:
    assert "no relevance rule is known for its" in model_of(Shuffled(called)).refusal
    assert ("'pixel_shuffle'" if called else "PixelShuffle") in model_of(Shuffled(called)).refusal


@pytest.mark.usefixtures("_pixel_shuffle")
def test_operation_added_by_the_how_to_page_has_maps_that_add_up() -> None:
    images = list(np.random.default_rng(0).normal(size=(3, 1, 6, 6)).astype(np.float32))
    maps = []
    for called in (True, False):
        model = model_of(Shuffled(called))
        assert model.refusal == ""
        seeds = model.features(images)[0].astype(np.float64)
        maps.append(model.maps(images, seeds))
        np.testing.assert_allclose(maps[-1].sum(axis=(1, 2), dtype=np.float64), seeds.sum(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(maps[0], maps[1])


class Own(nn.Module):
    """A layer of another library, whose forward pass has operations without a rule."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.exp(torch.log(x))


def test_layer_of_another_library_that_is_registered_is_one_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    known = registry.known_operations()
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Sigmoid(), Own(), nn.Flatten(), nn.Linear(64, 2))
    assert "operation 'exp'" in model_of(network).refusal
    own = registry.Operation(layers=(Own,), sources=single_signal, rule=lambda node, sources: Layer(module_of(node)))
    monkeypatch.setattr(registry, "_registered", [*known, own])
    assert "no relevance rule" not in model_of(network).refusal


def test_functions_and_layers_are_registered_once() -> None:
    known = registry.known_operations()
    functions = [name for operation in known for name in operation.functions]
    layers = [kind for operation in known for kind in operation.layers]
    assert len(functions) == len(set(functions)) > 50
    assert len(layers) == len(set(layers)) > 10
