"""Sums, differences, products and quotients that relevance may pass, and those that are refused."""

from __future__ import annotations

import pytest
import torch

from tests.relevance.operations.last_layer import Forward, last_layer
from xda.errors import ConfigError
from xda.relevance.rules import GateLayer, Layer, SumLayer


@pytest.mark.parametrize(
    ("forward", "kind"),
    [
        (lambda x: x + torch.relu(x), SumLayer),
        (lambda x: x + 3, Layer),
        (lambda x: 3 + x, Layer),
        (lambda x: x - 3, Layer),
        (lambda x: x * 3, Layer),
        (lambda x: x / 3, Layer),
        (lambda x: x * torch.sigmoid(x), GateLayer),
        (lambda x: torch.sigmoid(x).flatten(2).reshape(2, 3, 4, 4) * x, GateLayer),
    ],
)
def test_operation_has_its_rule(forward: Forward, kind: type[Layer]) -> None:
    assert type(last_layer(forward)) is kind


@pytest.mark.parametrize(
    "forward",
    [
        lambda x: 3 - x,
        lambda x: x - torch.relu(x),
        lambda x: x * -3,
        lambda x: x * 0,
        lambda x: x / -3,
        lambda x: 3 / x,
        lambda x: x * torch.relu(x),
        lambda x: torch.sigmoid(x) * torch.sigmoid(x),
        lambda x: x + x.mean(-1, keepdim=True),
        lambda x: torch.add(x, torch.relu(x), alpha=2),
        lambda x: x * torch.tensor([1.0, 1.0, 1.0, -1.0]),
    ],
)
def test_operation_that_would_turn_signs_or_shapes_is_refused(forward: Forward) -> None:
    with pytest.raises(ConfigError):
        last_layer(forward)
