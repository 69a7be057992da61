"""Tests of xda.relevance.rules: each rule has a slow twin and agrees with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from zennit.rules import Epsilon, Flat, ZPlus

from tests.reference import lrp
from tests.reference.rules import TWINS, every_rule
from xda.relevance import rules
from xda.relevance.operations.registry import known_operations


@dataclass(frozen=True)
class Example:
    """An operation with its rule and small inputs; the twin gets the options."""

    layer: rules.Layer
    shapes: tuple[tuple[int, ...], ...]
    """Shape of the inputs of one image."""
    options: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-9


def convolved(hook: Any, rule: lrp.Rule, groups: int = 1, tolerance: float = 1e-9) -> Example:
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 6, 2, groups=groups, dtype=torch.float64).requires_grad_(False)
    assert layer.bias is not None
    twin = lrp.convolution(layer.weight.numpy(), layer.bias.numpy(), (5, 4), rule, groups)
    return Example(rules.ruled_layer(layer, hook), ((4, 5, 4),), {"layer": twin}, tolerance)


def connected() -> Example:
    torch.manual_seed(0)
    layer = nn.Linear(7, 4, dtype=torch.float64).requires_grad_(False)
    twin = lrp.fully_connected(layer.weight.numpy(), layer.bias.numpy())
    return Example(rules.ruled_layer(layer, Epsilon(zero_params="bias")), ((7,),), {"layer": twin})


def averaged() -> Example:
    mean = np.kron(np.eye(3), np.full((1, 4), 0.25))
    twin = lrp.fully_connected(mean, np.zeros(3))
    return Example(rules.NormLayer(nn.AvgPool2d(2)), ((3, 2, 2),), {"layer": twin})


EXAMPLES: dict[type[rules.Layer], Callable[[], Example]] = {
    rules.Layer: lambda: Example(rules.Layer(torch.tanh), ((3, 4),)),
    rules.GateLayer: lambda: Example(rules.GateLayer(torch.mul), ((3, 4), (3, 4))),
    rules.ReshapeLayer: lambda: Example(rules.ReshapeLayer((0, 12)), ((3, 2, 2),)),
    rules.SelectLayer: lambda: Example(
        rules.SelectLayer(lambda x: x.permute(0, 2, 3, 1)), ((2, 3, 4),), {"axes": (1, 2, 0)}
    ),
    rules.MaxPoolLayer: lambda: Example(rules.MaxPoolLayer(nn.MaxPool2d(2)), ((2, 4, 6),), {"size": 2}),
    rules.ConcatenateLayer: lambda: Example(rules.ConcatenateLayer(1), ((2, 3), (4, 3))),
    rules.SumLayer: lambda: Example(rules.SumLayer(torch.add), ((3, 4), (3, 4))),
    rules.NormLayer: averaged,
    rules.EpsilonLayer: connected,
    rules.ZPlusLayer: lambda: convolved(ZPlus(zero_params="bias"), "z-plus"),
    # the product adds the stabiliser to n_k too, so that a layer without inputs does not divide by zero
    rules.ZPlusFlatLayer: lambda: convolved(rules.ZPlusFlat(), "z-plus-flat", groups=2, tolerance=1e-6),
    rules.FlatLayer: lambda: convolved(Flat(zero_params="bias"), "flat"),
}


def without_twin() -> list[str]:
    """Return the names of rules without a slow twin or without an example."""
    known_operations()  # imports all modules that may define a rule
    return sorted(rule.__name__ for rule in every_rule() if rule not in TWINS or rule not in EXAMPLES)


def test_rules_all_have_a_slow_twin_and_an_example() -> None:
    assert without_twin() == []
    assert TWINS.keys() == EXAMPLES.keys() == every_rule()


def test_rule_without_twin_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(TWINS, rules.SumLayer)
    assert without_twin() == ["SumLayer"]


@pytest.mark.parametrize("rule", EXAMPLES, ids=lambda rule: rule.__name__)
def test_rule_on_random_inputs_agrees_with_its_twin(rule: type[rules.Layer]) -> None:
    example = EXAMPLES[rule]()
    assert type(example.layer) is rule
    rng = np.random.default_rng(3)
    inputs = [rng.normal(size=(2, *shape)) for shape in example.shapes]
    output, terms = example.layer.run(*map(torch.from_numpy, inputs))
    relevance = rng.normal(size=tuple(output.shape))
    actual = example.layer.propagate(terms, torch.from_numpy(relevance))
    for image in range(2):
        expected = TWINS[rule]([x[image] for x in inputs], relevance[image], **example.options)
        assert len(actual) == len(expected)
        for ours, theirs in zip(actual, expected, strict=True):
            np.testing.assert_allclose(ours[image].numpy(), theirs, rtol=example.tolerance, atol=example.tolerance)
