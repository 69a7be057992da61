"""The rule that the last operation of a forward pass gets."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from zennit.composites import EpsilonPlusFlat

from xda.relevance.canonize import canonize
from xda.relevance.rules import Layer
from xda.relevance.tracing import trace

Forward = Callable[[torch.Tensor], torch.Tensor]


class Network(nn.Module):
    """A module, or a function as a forward pass."""

    def __init__(self, forward: Forward) -> None:
        super().__init__()
        self.step = forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.step(x)


def last_layer(forward: Forward, shape: tuple[int, ...] = (3, 4, 4)) -> Layer:
    """Return the rule of the last operation on images of a shape."""
    recorded = trace(Network(forward).eval(), torch.rand(2, *shape))
    return list(canonize(recorded, EpsilonPlusFlat()).steps.values())[-1].layer
