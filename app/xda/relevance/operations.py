"""The functions and tensor methods that networks use between their layers, by what they do to relevance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx

ADDED = frozenset({"add", "add_", "iadd"})
SUBTRACTED = frozenset({"sub", "sub_", "isub", "subtract"})
MULTIPLIED = frozenset({"mul", "mul_", "imul", "multiply"})
DIVIDED = frozenset({"div", "div_", "truediv", "itruediv", "divide", "true_divide"})
ARITHMETIC = ADDED | SUBTRACTED | MULTIPLIED | DIVIDED
CONCATENATED = frozenset({"cat", "concat", "concatenate"})
AVERAGED = frozenset({"mean", "avg_pool2d", "adaptive_avg_pool2d"})
DROPPED = frozenset({"dropout", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"})
RESHAPED = frozenset({"flatten", "view", "reshape", "squeeze", "unsqueeze", "unflatten"})
SELECTED = frozenset({"permute", "transpose", "swapaxes", "max_pool2d", "adaptive_max_pool2d", "narrow"})
PASSED = frozenset(
    {
        *("relu", "relu_", "relu6", "hardtanh", "hardtanh_", "leaky_relu", "leaky_relu_", "elu", "selu", "celu"),
        *("silu", "hardswish", "gelu", "mish", "softplus", "tanh", "sigmoid", "hardsigmoid", "clamp", "clamp_"),
        *("contiguous", "clone", "detach", "stochastic_depth"),
    }
)
"""Activations, and what changes nothing."""
ALONE = AVERAGED | DROPPED | RESHAPED | SELECTED | PASSED
"""All of one tensor."""
GATES = frozenset({"sigmoid", "hardsigmoid"})
SPREAD = RESHAPED | {"expand", "expand_as", "contiguous"}
"""What may come between a gate's sigmoid and its product."""
_SPLIT = frozenset({"chunk", "split", "tensor_split", "unbind"})


def name_of(node: fx.Node) -> str:
    """Return the name of the function or method that a node calls; empty for other nodes."""
    if node.op == "call_function":
        return str(getattr(node.target, "__name__", node.target))
    return str(node.target) if node.op == "call_method" else ""


def operands(node: fx.Node) -> list[fx.Node]:
    """Return the nodes among the arguments of a node, as often as they stand there."""
    found: list[fx.Node] = []
    fx.node.map_arg((node.args, node.kwargs), found.append)
    return found


def origin(node: fx.Node) -> fx.Node | None:
    """Return the tensor of which a node with name ``getitem`` takes a part, directly or after a split."""
    whole = node.args[0]
    if isinstance(whole, fx.Node) and name_of(whole) in _SPLIT:
        whole = whole.args[0]
    return whole if isinstance(whole, fx.Node) and "shape" in whole.meta else None


def n_concatenated(node: fx.Node) -> int:
    """Return how many tensors a node concatenates."""
    tensors = node.args[0] if node.args else node.kwargs["tensors"]
    return len(tensors) if isinstance(tensors, (list, tuple)) else 0


def axis(node: fx.Node) -> int:
    """Return along which axis a node concatenates."""
    value: Any = node.kwargs.get("dim", node.kwargs.get("axis", node.args[1] if len(node.args) > 1 else 0))
    return int(value) % len(node.meta["shape"])


def is_switched_off(node: fx.Node) -> bool:
    """Whether a dropout called as a function does nothing."""
    return (node.kwargs.get("training", node.args[2] if len(node.args) > 2 else True)) is False


def is_positive(value: Any) -> bool:
    """Whether an argument is constant and positive everywhere."""
    constant = value.meta.get("constant") if isinstance(value, fx.Node) else value
    return bool(torch.as_tensor(constant).gt(0).all()) if isinstance(constant, (int, float, torch.Tensor)) else False


def function_of(node: fx.Node, source: fx.Node) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what a node computes as a function of one of its inputs, which is left as it is.

    Parameters
    ----------
    node : fx.Node
        Recorded by ``tracing.trace``, so that the other arguments are known.
    source : fx.Node
    """

    def evaluate(at: fx.Node, x: torch.Tensor) -> Any:
        def value(argument: fx.Node) -> Any:
            if argument is source:
                return x
            return argument.meta["constant"] if "constant" in argument.meta else evaluate(argument, x)

        args, kwargs = fx.node.map_arg((at.args, at.kwargs), value)
        if at.op == "call_method":
            return getattr(args[0], str(at.target))(*args[1:], **kwargs)
        assert callable(at.target)
        return at.target(*args, **kwargs)

    name = name_of(node)
    changes = name.endswith("_") or name in ("iadd", "isub", "imul", "itruediv") or "inplace" in node.kwargs

    def function(x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = evaluate(node, x.clone() if changes else x)
        return output

    return function
