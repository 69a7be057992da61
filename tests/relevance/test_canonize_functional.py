"""Tests of operations between a network's layers: they are handled right, or refused with the reason."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everybody writes it
from torch.nn.utils import parametrizations
from torchvision.ops import FrozenBatchNorm2d

from tests.relevance.families import GATES, MERGED, PASSED, REFUSED_FAMILIES, SUMS, RefusedFamily, with_statistics
from tests.relevance.test_canonize import BASE, CPU, assert_same_maps
from xda.data.tensors import AsGiven
from xda.errors import NoHeatmapsError
from xda.relevance.relevance_model import RelevanceModel

Forward = Callable[["Net", torch.Tensor], Any]


class Net(nn.Module):
    """A small network with a given forward pass before its head."""

    def __init__(self, forward: Forward, *, pooled: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(6)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(6)
        self.squeeze = nn.Linear(6, 6)
        self.scale = nn.Parameter(torch.full((6, 1, 1), 0.5))
        self.head = nn.Linear(6, 4)
        self._body = forward
        self._pooled = pooled
        with_statistics(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = self._body(self, x)
        output: torch.Tensor = self.head(x.mean((2, 3)) if self._pooled else x)
        return output


def model_of(network: nn.Module, size: int = 12) -> RelevanceModel:
    return RelevanceModel(network.double().eval(), AsGiven((3, size, size)), CPU)


def maps_of(model: RelevanceModel, size: int = 12) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    images = list(np.random.default_rng(0).normal(size=(4, 3, size, size)).astype(np.float32))
    z = model.features(images)[0].astype(np.float64)
    relevance = z * np.roll(z, 1, axis=0)
    maps = model.maps(images, relevance)
    np.testing.assert_allclose(maps.sum(axis=(1, 2), dtype=np.float64), relevance.sum(axis=1), rtol=1e-3)
    return maps


def plain(net: Net, x: torch.Tensor) -> Any:
    """The network that the variants below write in other ways."""
    x = net.relu(net.bn1(net.conv1(x)))
    return net.relu(net.bn2(net.conv2(x)) + x)


def functions(net: Net, x: torch.Tensor) -> Any:
    x = F.relu(net.bn1(net.conv1(x)))
    return torch.relu(torch.add(net.bn2(net.conv2(x)), F.dropout(x, training=net.training)))


def in_place(net: Net, x: torch.Tensor) -> Any:
    y = F.relu(net.bn1(net.conv1(x)), inplace=True)
    x = net.bn2(net.conv2(y))
    x += y
    return x.relu_()


def reshaped(net: Net, x: torch.Tensor) -> Any:
    x = net.relu(net.bn1(net.conv1(x)))
    size = x.size()
    x = x.view(size[0], size[1], -1).reshape(size[0], -1).view(size[0], 6, 12, 12).contiguous()
    return net.relu(net.bn2(net.conv2(x)) + x)


def split_and_joined(net: Net, x: torch.Tensor) -> Any:
    x = net.relu(net.bn1(net.conv1(x)))
    first, second = x.chunk(2, dim=1)
    x = torch.cat([first, second], dim=1).permute(0, 1, 3, 2).transpose(2, 3)
    return net.relu(net.bn2(net.conv2(x)) + torch.cat([x[:, :2], x[:, 2:]], 1))


def scaled(net: Net, x: torch.Tensor) -> Any:
    x = net.relu(net.bn1(net.conv1(((x - 0.1) / 2 + 0.05) * 2)))
    return net.relu(net.bn2(net.conv2(x)) * net.scale / net.scale + x)


@pytest.mark.parametrize("variant", [functions, in_place, reshaped, split_and_joined])
def test_maps_of_equivalent_networks_are_the_same(variant: Forward) -> None:
    expected = model_of(Net(plain))
    model = model_of(Net(variant))
    assert model.composite == expected.composite == ", ".join((BASE, MERGED, SUMS))
    assert_same_maps(maps_of(model), maps_of(expected), 1e-9)


def test_maps_behind_positive_constants_are_the_same() -> None:
    model = model_of(Net(scaled))
    assert model.refusal == ""
    maps_of(model)


def gated(net: Net, x: torch.Tensor) -> Any:
    x = plain(net, x)
    gate = torch.sigmoid(net.squeeze(x.mean((2, 3)))).view(x.size(0), -1, 1, 1)
    return gate * x


def swish(net: Net, x: torch.Tensor) -> Any:
    x = net.bn1(net.conv1(x))
    return net.conv2(x * x.sigmoid())


def silu(net: Net, x: torch.Tensor) -> Any:
    return net.conv2(F.silu(net.bn1(net.conv1(x))))


def test_maps_of_a_gated_network_give_the_gate_no_relevance() -> None:
    model = model_of(Net(gated))
    assert model.composite == ", ".join((BASE, MERGED, SUMS, GATES))
    maps_of(model)


def test_maps_of_an_activation_written_as_a_gate_are_its_own() -> None:
    written, called = model_of(Net(swish)), model_of(Net(silu))
    assert written.composite == ", ".join((BASE, MERGED, GATES))
    assert_same_maps(maps_of(written), maps_of(called), 1e-9)


def pooled(net: Net, x: torch.Tensor) -> Any:
    x = F.max_pool2d(net.relu(net.conv1(x)), 2)
    return F.adaptive_avg_pool2d(F.avg_pool2d(net.relu(net.conv2(x)), 2), 1).flatten(1)


def test_maps_of_pooling_functions_equal_those_of_pooling_layers() -> None:
    network = Net(pooled, pooled=False)
    layers = nn.Sequential(
        *(network.conv1, nn.ReLU(), nn.MaxPool2d(2), network.conv2, nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), network.head),
    )
    assert_same_maps(maps_of(model_of(network)), maps_of(model_of(layers)), 1e-9)


def test_maps_with_frozen_batch_norms_merge_them() -> None:
    frozen = Net(plain)
    frozen.bn1 = _frozen(frozen.bn1)  # type: ignore[assignment]
    model = model_of(frozen)
    assert model.composite == ", ".join((BASE, MERGED, SUMS))
    assert_same_maps(maps_of(model), maps_of(model_of(Net(plain))), 1e-9)


def _frozen(norm: nn.BatchNorm2d) -> nn.Module:
    frozen: nn.Module = FrozenBatchNorm2d(norm.num_features, eps=norm.eps)
    frozen.load_state_dict(norm.state_dict(), strict=False)
    return frozen


def test_batch_norm_after_a_shared_convolution_is_not_merged() -> None:
    def body(net: Net, x: torch.Tensor) -> Any:
        x = net.conv1(x)
        return net.relu(net.bn1(x)) + net.relu(net.bn2(x))

    model = model_of(Net(body))
    assert model.composite == ", ".join((BASE, PASSED, SUMS))
    maps_of(model)


def _multiplied(net: Net, x: torch.Tensor) -> Any:
    x = net.conv1(x)
    return x * net.relu(net.conv2(x))


def _subtracted(net: Net, x: torch.Tensor) -> Any:
    x = net.conv1(x)
    return x - net.conv2(x)


def _negated(net: Net, x: torch.Tensor) -> Any:
    return net.relu(net.conv1(x) * -1.0)


def _mirrored(net: Net, x: torch.Tensor) -> Any:
    return net.relu(1 - net.conv1(x))


def _own_weights(net: Net, x: torch.Tensor) -> Any:
    return net.relu(F.conv2d(x, net.conv1.weight.abs()))


def _always_dropping(net: Net, x: torch.Tensor) -> Any:
    return F.dropout(net.relu(net.conv1(x)), 1e-9)


def _over_images(net: Net, x: torch.Tensor) -> Any:
    x = net.relu(net.conv1(x))
    return torch.cat([x, x], dim=0)[: x.shape[0]]


def _branching(net: Net, x: torch.Tensor) -> Any:
    return net.relu(net.conv1(x if x.mean() > 0 else x + 1))


def _resized(net: Net, x: torch.Tensor) -> Any:
    return F.interpolate(net.relu(net.conv1(x)), scale_factor=2.0)


def _unequal(net: Net, x: torch.Tensor) -> Any:
    x = net.relu(net.conv1(x))
    return x + x.mean((2, 3), keepdim=True)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (_multiplied, "multiplies two signals"),
        (_subtracted, "operation 'sub'"),
        (_negated, "operation 'mul'"),
        (_mirrored, "operation '(r|)sub'"),
        (_own_weights, "operation 'conv2d'"),
        (_always_dropping, "operation 'dropout'"),
        (_over_images, "operation 'cat'"),
        (
            _branching,
            r"its forward pass \(Net\) asks about its input while it runs .*functional.py, line \d+\)"
            r".* no fixed sequence of layers\. Attributions do not need this",
        ),
        (_resized, "operation 'interpolate'"),
        (_unequal, "operation 'add'"),
    ],
)
def test_network_with_an_operation_without_a_rule_is_refused(body: Forward, reason: str) -> None:
    refused(Net(body), reason)


class _Asking(nn.Module):
    """As in transformers' ResNet: an assertion about the number of channels stands before the convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Conv2d(3, 6, 3, padding=1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        if pixels.shape[1] != 3:
            raise ValueError("other channels than configured")
        return self.projection(pixels)  # type: ignore[no-any-return]


def test_refusal_names_the_part_that_asks_about_its_input_in_plain_words() -> None:
    network = nn.Sequential(OrderedDict(embedder=_Asking(), pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten()))
    network.append(nn.Linear(6, 4))
    reason = (
        r"its part 'embedder' \(_Asking\) asks about its input while it runs \(an if, a loop or an assertion\) "
        r"\(test_canonize_functional.py, line \d+\), so it is no fixed sequence of layers. "
        "Attributions do not need this: they are complete, only the heat-maps are missing"
    )
    refused(network, reason)
    model = RelevanceModel(network.eval(), AsGiven((3, 12, 12)), CPU)
    assert "torch.fx" not in model.refusal
    assert "symbolic" not in model.refusal


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_network_with_a_scripted_part_is_refused_with_the_reason() -> None:
    body = torch.jit.script(nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    refused(nn.Sequential(body, nn.Linear(6, 4)), "a part of it is a TorchScript program")


def refused(network: nn.Module, reason: str, size: int = 12) -> None:
    """Check that there are features and no maps, and that the reason is given."""
    model = RelevanceModel(network.eval(), AsGiven((3, size, size)), CPU)
    assert model.composite == ""
    assert model.refusal.startswith("Heat-maps are not available for this network: ")
    image = np.ones((3, size, size), dtype=np.float32)
    z, logits = model.features([image])
    with torch.no_grad():
        np.testing.assert_allclose(logits[0], network(torch.ones(1, 3, size, size))[0].numpy(), rtol=1e-4, atol=1e-5)
    with pytest.raises(NoHeatmapsError, match=reason):
        model.maps([image], z * z)


@pytest.mark.parametrize("family", REFUSED_FAMILIES, ids=lambda family: family.name)
def test_network_unsuited_to_the_rules_is_refused(family: RefusedFamily) -> None:
    torch.manual_seed(0)
    refused(family.build(), family.reason, family.size)


class _Standardized(nn.Conv2d):
    """A convolution that computes with other weights than it has."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


def test_network_with_a_layer_of_other_weights_is_refused() -> None:
    network = Net(plain)
    network.conv1 = _Standardized(3, 6, 3, padding=1)
    refused(network, "operation 'conv2d'")
    network = Net(plain)
    with pytest.warns(FutureWarning, match="weight_norm"):
        nn.utils.weight_norm(network.conv1)
    refused(network, "'conv1' .* has hooks")
    network = Net(plain)
    parametrizations.weight_norm(network.conv2)
    refused(network, "'conv2' .* has hooks or parametrizations")


def test_network_with_a_batch_norm_over_the_batch_is_refused() -> None:
    network = Net(plain)
    network.bn1 = nn.BatchNorm2d(6, track_running_stats=False)
    refused(network, "the statistics of the batch")


def test_network_that_loses_relevance_is_refused() -> None:
    network = Net(plain)
    for module in (network.bn1, network.bn2):
        # the stabiliser takes the relevance of such small signals
        module.weight.data.mul_(1e-6)
        module.bias.data.zero_()
    refused(network, r"relevance is not conserved through it \(.*% is lost or gained, at most 0.1% may")


def test_network_that_keeps_state_between_images_is_refused() -> None:
    def body(net: Net, x: torch.Tensor) -> Any:
        net.calls = getattr(net, "calls", 0) + 1  # type: ignore[assignment]
        return net.relu(net.conv1(x) * (1.0 + net.calls))  # type: ignore[operator]

    model = RelevanceModel(Net(body).eval(), AsGiven((3, 12, 12)), CPU)
    assert "computes something else" in model.refusal
