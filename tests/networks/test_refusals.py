"""Known architectures without rules are refused by the names of their layers and functions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from xda.errors import ConfigError
from xda.networks.refusals import REFUSED, is_scripted, refuse_known, refuse_scripted


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("MultiheadAttention", "it uses attention"),
        ("einsum", "it uses attention"),
        ("LayerNorm2d", "own mean and spread"),
        ("group_norm", "own mean and spread"),
    ],
)
def test_unsuitable_layer_is_refused_with_the_reason(kind: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        refuse_known(["Conv2d", kind])
    assert str(caught.value).startswith(REFUSED)


def test_suitable_layers_are_not_refused() -> None:
    refuse_known(["Conv2d", "BatchNorm2d", "Linear", "MyLayerNorm", "relu", "AttentionPool"])


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_scripted_part_is_found_and_refused() -> None:
    plain = nn.Sequential(nn.Linear(2, 2))
    assert not is_scripted(plain)
    refuse_scripted(plain)
    traced = nn.Sequential(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)))  # type: ignore[no-untyped-call]
    assert is_scripted(traced)
    with pytest.raises(ConfigError, match="TorchScript program"):
        refuse_scripted(traced)
