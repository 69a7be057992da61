"""Operations that move values: each keeps every image's values together, or is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.relevance.operations.last_layer import Forward, last_layer
from xda.errors import ConfigError
from xda.relevance.rules import ConcatenateLayer, ReshapeLayer, SelectLayer


@pytest.mark.parametrize(
    ("forward", "kind"),
    [
        (lambda x: x.flatten(1), ReshapeLayer),
        (lambda x: x.reshape(2, -1), ReshapeLayer),
        (nn.Flatten(), ReshapeLayer),
        (lambda x: x.permute(0, 2, 3, 1), SelectLayer),
        (lambda x: x[:, :2], SelectLayer),
        (lambda x: x.chunk(3, 1)[0], SelectLayer),
        (lambda x: torch.cat([x, torch.relu(x)], 1), ConcatenateLayer),
        (lambda x: torch.cat((x, x), dim=-1), ConcatenateLayer),
        (nn.ZeroPad2d(1), SelectLayer),
    ],
)
def test_operation_has_its_rule(forward: Forward, kind: type) -> None:
    assert type(last_layer(forward)) is kind


@pytest.mark.parametrize(
    "forward",
    [
        lambda x: torch.cat([x, x], 0),
        lambda x: torch.cat([x, torch.ones(2, 3, 4, 4)], 1),
        lambda x: x[0],
        lambda x: x.transpose(0, 1),
    ],
)
def test_operation_that_mixes_images_or_constants_is_refused(forward: Forward) -> None:
    with pytest.raises(ConfigError):
        last_layer(forward)
