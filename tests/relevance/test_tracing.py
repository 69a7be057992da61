"""Networks as graphs: the recorded copy computes the same, and what cannot be followed is refused by its place."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from xda.errors import ConfigError
from xda.networks.refusals import REFUSED
from xda.relevance.tracing import trace

EXAMPLE = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Swish(nn.Module):
    """SiLU under another name."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(x)


class DropPath(nn.Module):
    """Drops nothing in eval mode."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_recorded_network_computes_the_same_and_knows_shapes() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), Swish(), DropPath(), nn.Flatten()).eval()
    recorded = trace(network, EXAMPLE)
    with torch.no_grad():
        torch.testing.assert_close(recorded(EXAMPLE), network(EXAMPLE))
    shapes = {str(node.target): tuple(node.meta["shape"]) for node in recorded.graph.nodes if node.op == "call_module"}
    assert shapes["0"] == (2, 4, 6, 6)
    assert shapes["4"] == (2, 144)
    assert [type(recorded.get_submodule(name)) for name in ("2", "3")] == [nn.SiLU, nn.Identity]
    assert [type(part) for part in network[2:4]] == [Swish, DropPath]
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_value_that_does_not_depend_on_the_image_is_a_constant() -> None:
    class Scaled(nn.Module):
        scale: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("scale", torch.tensor(2.0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.scale

    nodes = {node.name: node.meta for node in trace(Scaled().eval(), EXAMPLE).graph.nodes}
    assert float(nodes["scale"]["constant"]) == 2.0
    assert tuple(nodes["mul"]["shape"]) == EXAMPLE.shape
    assert "constant" not in nodes["mul"]


class Branching(nn.Module):
    """Asks about its input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


def test_branch_on_the_image_is_refused_with_part_and_line() -> None:
    with pytest.raises(
        ConfigError, match=r"its part '1' \(Branching\) asks about its input .*test_tracing\.py, line"
    ) as c:
        trace(nn.Sequential(nn.ReLU(), Branching()).eval(), EXAMPLE)
    assert str(c.value).startswith(REFUSED)
    assert "only the heat-maps are missing" in str(c.value)


def test_layer_with_hooks_or_parametrization_is_refused() -> None:
    hooked = nn.Sequential(nn.Linear(8, 2))
    hooked[0].register_forward_hook(lambda *_: None)
    normed = nn.Sequential(parametrizations.weight_norm(nn.Linear(8, 2)))
    for network in (hooked, normed):
        with pytest.raises(ConfigError, match=r"its layer '0' \(\w*Linear\) has hooks or parametrizations"):
            trace(network.eval(), EXAMPLE)
