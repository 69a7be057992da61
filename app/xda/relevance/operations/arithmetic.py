"""Sums, differences, products and quotients of two signals, or of a signal and a constant.

The sum of two branches follows rule ``Norm``. In a product with a gate, the signal gets all relevance. An operation
with a constant passes relevance, unless the constant turns evidence for a feature into evidence against it.
"""

from __future__ import annotations

import torch
from torch import fx, nn

from xda.errors import ConfigError
from xda.networks.refusals import REFUSED
from xda.relevance.nodes import function_of, module_of, name_of, require, signals_of
from xda.relevance.operations.registry import Operation, Sources, register
from xda.relevance.operations.shapes import RESHAPED
from xda.relevance.rules import GateLayer, Layer, SumLayer

_GATES = frozenset({"sigmoid", "hardsigmoid"})
_SPREAD = RESHAPED | {"expand", "expand_as", "contiguous"}
"""Operations that may stand between a gate's sigmoid and its product."""


def _with_constant(node: fx.Node, *, first: bool = False, positive: bool = False) -> Sources:
    """Return the one signal combined with constants; on request, require that it comes first and they are positive."""
    signals = signals_of(node)
    require(node, len(signals) == 1 and signals[0].meta["shape"] == node.meta["shape"] and not node.kwargs)
    require(node, not first or node.args[0] is signals[0])
    require(node, not positive or all(_is_positive(value) for value in node.args if value is not signals[0]))
    return (signals[0],)


def _terms(node: fx.Node) -> Sources:
    signals = signals_of(node)
    if len(signals) != 2:
        return _with_constant(node)
    require(node, all(each.meta["shape"] == node.meta["shape"] for each in signals) and "alpha" not in node.kwargs)
    return tuple(signals)


def _factors(node: fx.Node) -> Sources:
    signals = signals_of(node)
    if len(signals) != 2:
        return _with_constant(node, positive=True)
    gates = [_is_gate(value) for value in signals]
    if gates.count(True) != 1:
        raise ConfigError(
            f"{REFUSED}it multiplies two signals with each other ('{node.name}'), and neither is known to be a gate."
        )
    signal = signals[gates.index(False)]
    require(node, signal.meta["shape"] == node.meta["shape"])
    return (signal,)


def _minuend(node: fx.Node) -> Sources:
    return _with_constant(node, first=True)


def _dividend(node: fx.Node) -> Sources:
    return _with_constant(node, first=True, positive=True)


def _gate(node: fx.Node, sources: Sources) -> Sources:
    return tuple(value for value in signals_of(node) if value is not sources[0])


def _passed(node: fx.Node, sources: Sources) -> Layer:
    return Layer(function_of(node, sources[0]))


def _is_gate(node: fx.Node) -> bool:
    """Whether a value is a sigmoid's output, possibly reshaped."""
    while name_of(node) in _SPREAD and isinstance(node.args[0], fx.Node):
        node = node.args[0]
    return isinstance(module_of(node), (nn.Sigmoid, nn.Hardsigmoid)) or name_of(node) in _GATES


def _is_positive(value: object) -> bool:
    """Whether an argument is constant and positive everywhere."""
    constant = value.meta.get("constant") if isinstance(value, fx.Node) else value
    return bool(torch.as_tensor(constant).gt(0).all()) if isinstance(constant, (int, float, torch.Tensor)) else False


def _sum(node: fx.Node, sources: Sources) -> Layer:
    return SumLayer(torch.add) if len(sources) == 2 else _passed(node, sources)


def _product(node: fx.Node, sources: Sources) -> Layer:
    return GateLayer(torch.mul) if _gate(node, sources) else _passed(node, sources)


register(Operation(_terms, _sum, functions=("add", "add_")))
register(Operation(_minuend, _passed, functions=("sub", "sub_", "subtract")))
register(Operation(_factors, _product, functions=("mul", "mul_", "multiply"), others=_gate))
register(Operation(_dividend, _passed, functions=("div", "div_", "truediv", "divide", "true_divide")))
