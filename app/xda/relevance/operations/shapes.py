"""Operations that move values without changing them: reshape, permute, select a part, concatenate."""

from __future__ import annotations

from typing import Any

from torch import fx, nn

from xda.relevance.nodes import function_of, keeps_images, name_of, require, signals_of, single_signal
from xda.relevance.operations.registry import Operation, Sources, register
from xda.relevance.rules import ConcatenateLayer, Layer, ReshapeLayer, SelectLayer

RESHAPED = frozenset({"flatten", "view", "reshape", "squeeze", "unsqueeze", "unflatten"})
_SPLIT = frozenset({"chunk", "split", "tensor_split", "unbind"})


def _reshaped(node: fx.Node) -> Sources:
    (signal,) = single_signal(node)
    require(node, node.meta["shape"].numel() == signal.meta["shape"].numel())
    return (signal,)


def _whole(node: fx.Node) -> Sources:
    """Return the tensor from which a node takes a part, directly or after a split."""
    whole = node.args[0]
    if isinstance(whole, fx.Node) and name_of(whole) in _SPLIT:
        whole = whole.args[0]
    require(node, isinstance(whole, fx.Node) and "shape" in whole.meta and keeps_images(node))
    return (whole,) if isinstance(whole, fx.Node) else ()


def _concatenated(node: fx.Node) -> Sources:
    signals = signals_of(node)
    tensors = node.args[0] if node.args else node.kwargs["tensors"]
    count = len(tensors) if isinstance(tensors, (list, tuple)) else 0
    require(node, 0 < len(signals) == count and _axis(node) != 0)
    return tuple(signals)


def _axis(node: fx.Node) -> int:
    """Return the axis along which a node concatenates."""
    value: Any = node.kwargs.get("dim", node.kwargs.get("axis", node.args[1] if len(node.args) > 1 else 0))
    return int(value) % len(node.meta["shape"])


def _selected(node: fx.Node, sources: Sources) -> Layer:
    return SelectLayer(function_of(node, sources[0]))


register(
    Operation(
        _reshaped,
        lambda node, sources: ReshapeLayer(node.meta["shape"]),
        functions=tuple(RESHAPED),
        layers=(nn.Flatten, nn.Unflatten),
    )
)
_MOVED = ("permute", "transpose", "swapaxes", "narrow")
register(Operation(single_signal, _selected, functions=_MOVED, layers=(nn.ZeroPad2d,)))
register(Operation(_whole, _selected, functions=("getitem",)))
_JOINED = ("cat", "concat", "concatenate")
register(Operation(_concatenated, lambda node, sources: ConcatenateLayer(_axis(node)), functions=_JOINED))
