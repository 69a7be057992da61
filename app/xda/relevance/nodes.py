"""Reads names, layers and arguments of a recorded network's nodes (`torch.fx`); refuses unsuitable nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from xda.errors import ConfigError
from xda.networks.refusals import REFUSED


def name_of(node: fx.Node) -> str:
    """Return the name of the function or method that a node calls; empty for other nodes."""
    if node.op == "call_function":
        return str(getattr(node.target, "__name__", node.target))
    return str(node.target) if node.op == "call_method" else ""


def module_of(node: fx.Node) -> Any:
    """Return the layer that a node calls; None for other nodes."""
    root = node.graph.owning_module
    return root.get_submodule(str(node.target)) if root is not None and node.op == "call_module" else None


def signals_of(node: fx.Node) -> list[fx.Node]:
    """Return the arguments of a node that depend on the image, repeated arguments repeatedly."""
    found: list[fx.Node] = []
    fx.node.map_arg((node.args, node.kwargs), found.append)
    return [value for value in found if "shape" in value.meta]


def single_signal(node: fx.Node) -> tuple[fx.Node]:
    """Return the one argument that depends on the image, or refuse the node.

    Raises
    ------
    ConfigError
        If there are several, or if a function does not keep the axis of the images.
    """
    signals = signals_of(node)
    require(node, len(signals) == 1 and (node.op == "call_module" or keeps_images(node)))
    return (signals[0],)


def keeps_images(node: fx.Node) -> bool:
    """Whether the first axis is still that of the images."""
    origin = next(other for other in node.graph.nodes if other.op == "placeholder")
    return bool(node.meta["shape"][:1] == origin.meta["shape"][:1])


def require(node: fx.Node, holds: bool) -> None:
    """Refuse a node unless a condition holds.

    Raises
    ------
    ConfigError
        If it does not hold; the message names the node.
    """
    if holds:
        return
    if node.op == "call_module":
        kind = type(module_of(node)).__name__
        raise ConfigError(f"{REFUSED}no relevance rule is known for its layer '{node.target}' ({kind}).")
    raise ConfigError(
        f"{REFUSED}no relevance rule is known for its operation '{name_of(node) or node.target}' as used in "
        f"'{node.name}'."
    )


def function_of(node: fx.Node, source: fx.Node) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a node as a function of one of its inputs; the function does not change the input. A layer is one already.

    Parameters
    ----------
    node : fx.Node
        Recorded by ``tracing.trace``, so that the other arguments are known.
    source : fx.Node
    """
    if node.op == "call_module":
        layer: Callable[[torch.Tensor], torch.Tensor] = module_of(node)
        return layer

    def evaluate(at: fx.Node, x: torch.Tensor) -> Any:
        def value(argument: fx.Node) -> Any:
            if argument is source:
                return x
            return argument.meta["constant"] if "constant" in argument.meta else evaluate(argument, x)

        return call(at, *fx.node.map_arg((at.args, at.kwargs), value))

    changes = name_of(node).endswith("_") or "inplace" in node.kwargs

    def function(x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = evaluate(node, x.clone() if changes else x)
        return output

    return function


def call(node: fx.Node, args: Any, kwargs: Any) -> Any:
    """Return the value of a function, a method or a layer of a node for arguments."""
    if node.op == "call_module":
        return module_of(node)(*args, **kwargs)
    if node.op == "call_method":
        return getattr(args[0], str(node.target))(*args[1:], **kwargs)
    assert callable(node.target)
    return node.target(*args, **kwargs)
