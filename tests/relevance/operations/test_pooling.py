"""Averages follow rule ``Norm``; the relevance of a maximum goes to the value that is the maximum."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everybody writes it

from tests.relevance.operations.last_layer import Forward, last_layer
from xda.relevance.rules import MaxPoolLayer, NormLayer, SelectLayer


@pytest.mark.parametrize(
    ("forward", "kind"),
    [
        (lambda x: x.mean((2, 3)), NormLayer),
        (lambda x: F.avg_pool2d(x, 2), NormLayer),
        (nn.AvgPool2d(2), NormLayer),
        (nn.AdaptiveAvgPool2d(1), NormLayer),
        (lambda x: F.max_pool2d(x, 2), SelectLayer),
        (nn.MaxPool2d(2), MaxPoolLayer),
        (nn.AdaptiveMaxPool2d(1), SelectLayer),
    ],
)
def test_pooling_has_its_rule(forward: Forward, kind: type) -> None:
    assert type(last_layer(forward)) is kind


def test_relevance_of_a_maximum_goes_to_it_and_that_of_an_average_by_value() -> None:
    x = torch.tensor([[[[1.0, 3.0], [0.0, 0.0]]]])
    for layer, expected in ((last_layer(nn.MaxPool2d(2)), [0, 8]), (last_layer(nn.AvgPool2d(2)), [2, 6])):
        _, terms = layer.run(x)
        (relevance,) = layer.propagate(terms, torch.tensor([[[[8.0]]]]))
        torch.testing.assert_close(relevance.flatten()[:2], torch.tensor(expected, dtype=torch.float32))
        assert not relevance.flatten()[2:].any()
