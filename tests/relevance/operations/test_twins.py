"""Each operation of xda.relevance.operations against its slow twin, and no operation without one."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everybody writes it
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.ops import stochastic_depth
from zennit.composites import EpsilonPlusFlat
from zennit.types import Activation, AvgPool, MaxPool

from tests.reference.operations import OPERATION_TWINS
from xda.relevance.canonize import canonize
from xda.relevance.nodes import module_of, name_of, single_signal
from xda.relevance.operations import registry
from xda.relevance.rules import Layer
from xda.relevance.tracing import trace

torch.fx.wrap("stochastic_depth")

SHAPE = (4, 4, 6)
"""Shape of the image and of every signal."""

Arm = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Example:
    """An operation as the last of a network; the twin gets the options."""

    operation: Callable[..., torch.Tensor]
    arms: tuple[Arm, ...] = (lambda x: x,)
    """Makes the operation's signals from the image."""
    options: dict[str, Any] = field(default_factory=dict)
    signals: int = 1
    """How many of the signals take relevance."""


class Network(nn.Module):
    def __init__(self, example: Example) -> None:
        super().__init__()
        self.operation = example.operation
        self.arms = example.arms

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.operation(*(arm(x) for arm in self.arms))


def called(name: str, *args: Any, **kwargs: Any) -> Callable[..., torch.Tensor]:
    """Call a function of torch or Python by its name, or else a method; the signals come first."""
    for home in (F, torch, operator):
        if hasattr(home, name):
            return lambda *x: getattr(home, name)(*x, *args, **kwargs)
    return lambda x, *more: getattr(x, name)(*more, *args, **kwargs)


def with_constant(*names: str) -> dict[Any, list[Example]]:
    return {name: [Example(called(name, 0.7))] for name in names}


def same(*names: str, args: tuple[Any, ...] = (), **options: Any) -> dict[Any, list[Example]]:
    return {name: [Example(called(name, *args), options=options)] for name in names}


TWO: tuple[Arm, ...] = (lambda x: x, lambda x: x.tanh())
GATED: tuple[Arm, ...] = (lambda x: x, lambda x: x.sigmoid())

EXAMPLES: dict[Any, list[Example]] = {
    **same("relu", "relu_", "relu6", "hardtanh", "hardtanh_", "leaky_relu", "leaky_relu_", "elu", "selu", "celu"),
    **same("silu", "hardswish", "gelu", "mish", "softplus", "tanh", "sigmoid", "hardsigmoid"),
    **same("contiguous", "clone", "detach"),
    **same("clamp", "clamp_", args=(-0.5, 0.5)),
    **same("dropout", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", args=(0.5, False)),
    "stochastic_depth": [Example(lambda x: stochastic_depth(x, 0.5, "row", False))],
    Activation: [Example(nn.ReLU(inplace=True)), Example(nn.SiLU())],
    **{
        kind: [Example(kind())]
        for kind in (nn.Mish, nn.Identity, nn.Dropout, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
    },
    nn.Dropout1d: [Example(nn.Dropout1d(), (lambda x: x.flatten(2),))],
    _BatchNorm: [Example(nn.BatchNorm2d(4))],
    **{name: [Example(called(name), TWO, signals=2), Example(called(name, -0.7))] for name in ("add", "add_")},
    **with_constant("sub", "sub_", "subtract"),
    **with_constant("div", "div_", "truediv", "divide", "true_divide"),
    **{name: [Example(called(name), GATED), Example(called(name, 0.7))] for name in ("mul", "mul_", "multiply")},
    **same("mean", args=((2, 3),), size=(4, 6)),
    **same("avg_pool2d", args=(2,), size=(2, 2)),
    **same("adaptive_avg_pool2d", args=((2, 3),), size=(2, 2)),
    AvgPool: [
        Example(nn.AvgPool2d(2), options={"size": (2, 2)}),
        Example(nn.AdaptiveAvgPool2d((4, 2)), options={"size": (1, 3)}),
    ],
    **same("max_pool2d", args=(2,)),
    **same("adaptive_max_pool2d", args=((2, 3),)),
    MaxPool: [Example(nn.MaxPool2d(2)), Example(nn.AdaptiveMaxPool2d((2, 3)))],
    **same("flatten", args=(1,)),
    **same("view", "reshape", args=((2, 8, 12),)),
    "squeeze": [Example(lambda x: x.squeeze(2), (lambda x: x.reshape(2, 4, 1, 24),))],
    **same("unsqueeze", args=(2,)),
    **same("unflatten", args=(1, (2, 2))),
    nn.Flatten: [Example(nn.Flatten())],
    nn.Unflatten: [Example(nn.Unflatten(1, (2, 2)))],
    **same("permute", args=((0, 2, 3, 1),), axes=(1, 2, 0)),
    **same("transpose", "swapaxes", args=(1, 3), axes=(2, 1, 0)),
    **same("narrow", args=(1, 1, 2), first=1),
    "getitem": [
        Example(lambda x: x[:, 1:3], options={"first": 1}),
        Example(lambda x: x.chunk(2, 1)[1], options={"first": 2}),
    ],
    **{
        name: [Example(lambda *x, name=name: getattr(torch, name)(x, 1), TWO, signals=2)]
        for name in ("cat", "concat", "concatenate")
    },
    nn.ZeroPad2d: [Example(nn.ZeroPad2d((1, 2, 3, 0)), options={"left": 1, "top": 3})],
}
"""By name of a function or class of layers."""


def registered() -> set[Any]:
    return {each for operation in registry.known_operations() for each in (*operation.functions, *operation.layers)}


def without_twin() -> list[Any]:
    """Return the operations that no slow twin, or no example, checks."""
    return [each for each in registered() if each not in OPERATION_TWINS or each not in EXAMPLES]


def test_operations_all_have_a_slow_twin_and_an_example() -> None:
    assert without_twin() == []
    assert OPERATION_TWINS.keys() == EXAMPLES.keys() == registered()


def test_operation_without_twin_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    own = registry.Operation(single_signal, lambda node, _: Layer(torch.exp), ("own",))
    monkeypatch.setattr(registry, "_registered", [*registry.known_operations(), own])
    assert without_twin() == ["own"]


@pytest.mark.parametrize("key", EXAMPLES, ids=lambda key: getattr(key, "__name__", key))
def test_operation_on_random_inputs_agrees_with_its_twin(key: Any) -> None:
    rng = np.random.default_rng(3)
    for example in EXAMPLES[key]:
        network = Network(example).double().eval()
        recorded = trace(network, torch.from_numpy(rng.normal(size=(2, *SHAPE))))
        node, step = list(canonize(recorded, EpsilonPlusFlat()).steps.items())[-1]
        assert name_of(node) == key if isinstance(key, str) else isinstance(module_of(node), key)
        inputs = [torch.from_numpy(rng.normal(size=tuple(source.meta["shape"]))) for source in step.inputs]
        output, terms = step.layer.run(*inputs)
        with torch.no_grad():
            torch.testing.assert_close(output, network.operation(*(x.clone() for x in inputs)), rtol=0, atol=0)
        relevance = rng.normal(size=tuple(output.shape))
        actual = step.layer.propagate(terms, torch.from_numpy(relevance))
        for image in range(2):
            sources = [x[image].numpy() for x in inputs[: example.signals]]
            expected = OPERATION_TWINS[key](sources, relevance[image], **example.options)
            assert len(actual) == len(expected) == example.signals
            for ours, theirs in zip(actual, expected, strict=True):
                np.testing.assert_allclose(ours[image].numpy(), theirs, rtol=1e-9, atol=1e-9)
