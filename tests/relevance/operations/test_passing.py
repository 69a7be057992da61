"""Operations that relevance passes unchanged: activations, batch norms, dropout that drops nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everybody writes it

from tests.relevance.operations.last_layer import Forward, last_layer
from xda.errors import ConfigError
from xda.relevance.rules import Layer


@pytest.mark.parametrize(
    "forward",
    [
        F.relu,
        torch.tanh,
        lambda x: F.dropout(x, 0.5, False),
        lambda x: F.dropout(x, 0.5, training=False),
        lambda x: x.clone(),
        nn.GELU(),
        nn.Dropout(0.9),
        nn.BatchNorm2d(3),
    ],
)
def test_relevance_passes_unchanged(forward: Forward) -> None:
    layer = last_layer(forward)
    assert type(layer) is Layer
    relevance = torch.rand(2, 3, 4, 4)
    assert layer.propagate((), relevance)[0] is relevance


@pytest.mark.parametrize("forward", [F.dropout, lambda x: F.dropout(x, 0.5, True), lambda x: F.dropout2d(x, p=0.5)])
def test_dropout_that_drops_in_eval_mode_is_refused(forward: Forward) -> None:
    with pytest.raises(ConfigError):
        last_layer(forward)


def test_activation_in_place_leaves_its_input_as_it_is() -> None:
    x = torch.tensor([-1.0, 2.0])
    output, _ = last_layer(nn.ReLU(inplace=True)).run(x)
    assert x.tolist() == [-1.0, 2.0]
    assert output.tolist() == [0.0, 2.0]
