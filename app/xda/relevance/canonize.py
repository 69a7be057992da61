"""What it takes to propagate relevance through an architecture: a rule for every operation, or the reason why not.

The canonical form that the rules need is found in the graph of operations, not by the name of a network: a batch norm
is merged into the layer before it where nothing else sees that layer's output, branches are added by rule ``Norm``, a
gate counts as a constant. So it holds for VGG, ResNet, DenseNet, MobileNet, EfficientNet and their kin from any
library. What has no rule refuses the network: a wrong heat-map would be worse than none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from zennit.canonizers import MergeBatchNorm
from zennit.composites import EpsilonPlusFlat
from zennit.core import Hook
from zennit.rules import ZPlus
from zennit.types import Activation, AvgPool, Convolution, Linear, MaxPool

from xda.errors import ConfigError
from xda.networks.refusals import REFUSED, refuse_known
from xda.relevance import operations
from xda.relevance.operations import function_of, name_of
from xda.relevance.rules import (
    ConcatenateLayer,
    GateLayer,
    Layer,
    MaxPoolLayer,
    NormLayer,
    ReshapeLayer,
    SelectLayer,
    SumLayer,
    ZPlusFlat,
    ZPlusFlatLayer,
    ruled_layer,
)
from xda.relevance.tracing import NEUTRAL

_SELECTING = (MaxPool, nn.ZeroPad2d)
_RESHAPING = (nn.Flatten, nn.Unflatten)
_PASSING = (Activation, nn.Mish)


@dataclass(frozen=True, slots=True)
class Step:
    """One operation on the way of relevance from the features to the pixels."""

    layer: Layer
    inputs: tuple[fx.Node, ...]
    """What it is computed from; relevance goes to the first ones, as many as ``layer.propagate`` returns."""


@dataclass(frozen=True, slots=True)
class Canonization:
    """A network in the form in which relevance goes through it, and what a person is told of that."""

    recorded: fx.GraphModule
    steps: dict[fx.Node, Step]
    """The operations that relevance passes; all others only compute something."""
    name: str
    """Canonizers in words; empty where none is needed."""


def canonize(recorded: fx.GraphModule, composite: EpsilonPlusFlat) -> Canonization:
    """Give every operation that relevance passes its rule.

    Parameters
    ----------
    recorded : fx.GraphModule
        From ``tracing.trace``; batch norms are merged in place.
    composite : zennit.composites.EpsilonPlusFlat
        Chooses the rules.

    Returns
    -------
    Canonization

    Raises
    ------
    ConfigError
        If there is an operation for which no rule is known.
    """
    refuse_known(name_of(node) for node in recorded.graph.nodes)
    nodes = list(recorded.graph.nodes)
    (features,) = nodes[-1].args
    if not isinstance(features, fx.Node):
        raise ConfigError(f"{REFUSED}it returns several values; make it return the logits alone.")
    passed = {features}
    for node in reversed(nodes):
        if node in passed and node.op != "placeholder":
            passed.update(_sources(node))
    if not any(node in passed for node in nodes if node.op == "placeholder"):
        raise ConfigError(f"{REFUSED}its features do not depend on the image.")
    on_path = [node for node in nodes if node in passed and node.op != "placeholder"]
    merged = _merge_batch_norms(on_path)
    context: dict[str, object] = {}
    separable = any(is_grouped(_module(node)) for node in on_path)
    steps = {node: _step(node, node in merged, separable, composite, context) for node in on_path}
    norms = sum(isinstance(_module(node), _BatchNorm) for node in on_path)
    layers = [step.layer for step in steps.values()]
    parts = (
        ("batch norms merged", bool(merged)),
        ("batch norms without a layer to merge with passed", norms > len(merged)),
        ("branches summed by Norm", any(isinstance(layer, SumLayer) for layer in layers)),
        (
            "ZPlusFlat for grouped and pointwise convolutions",
            any(isinstance(layer, ZPlusFlatLayer) for layer in layers),
        ),
        ("gates (squeeze-excite) taken as constant", any(isinstance(layer, GateLayer) for layer in layers)),
    )
    return Canonization(recorded, steps, ", ".join(text for text, holds in parts if holds))


def _sources(node: fx.Node) -> tuple[fx.Node, ...]:
    """Return where the relevance of a node goes, or refuse the node."""
    name, signals = name_of(node), [value for value in operations.operands(node) if "shape" in value.meta]
    if node.op == "call_module":
        known = (Linear, _BatchNorm, AvgPool, *_SELECTING, *_RESHAPING, *_PASSING)
        _check(node, len(signals) == 1 and _is_any(_module(node), (*known, *NEUTRAL)))
        return (signals[0],)
    if name == "getitem":
        origin = operations.origin(node)
        _check(node, origin is not None and "shape" in node.meta and _keeps_images(node))
        return (origin,) if origin is not None else ()
    _check(node, "shape" in node.meta and len(signals) > 0)
    if name in operations.CONCATENATED:
        _check(node, len(signals) == operations.n_concatenated(node) and operations.axis(node) != 0)
        return tuple(signals)
    if name in operations.ARITHMETIC:
        return _terms(node, name, signals)
    _check(node, len(signals) == 1 and name in operations.ALONE and _keeps_images(node))
    if name in operations.DROPPED:
        _check(node, operations.is_switched_off(node))
    if name in operations.RESHAPED:
        _check(node, node.meta["shape"].numel() == signals[0].meta["shape"].numel())
    return (signals[0],)


def _terms(node: fx.Node, name: str, signals: list[fx.Node]) -> tuple[fx.Node, ...]:
    """Return where the relevance of a sum, difference, product or quotient goes, or refuse it."""
    shape = node.meta["shape"]
    if len(signals) == 2 and name in operations.ADDED:
        _check(node, all(value.meta["shape"] == shape for value in signals) and "alpha" not in node.kwargs)
        return tuple(signals)
    if len(signals) == 2 and name in operations.MULTIPLIED:
        gates = [_is_gate(value) for value in signals]
        if gates.count(True) != 1:
            raise ConfigError(
                f"{REFUSED}it multiplies two signals with each other ('{node.name}'), and it cannot be told that one "
                "of them is a gate."
            )
        signal = signals[gates.index(False)]
        _check(node, signal.meta["shape"] == shape)
        return (signal,)
    _check(node, len(signals) == 1 and signals[0].meta["shape"] == shape and not node.kwargs)
    if name in operations.SUBTRACTED | operations.DIVIDED:
        _check(node, node.args[0] is signals[0])
    if name in operations.MULTIPLIED | operations.DIVIDED:
        # a negative factor would turn what speaks for a feature into what speaks against it
        _check(node, all(operations.is_positive(value) for value in node.args if value is not signals[0]))
    return (signals[0],)


def _step(node: fx.Node, merged: bool, separable: bool, composite: EpsilonPlusFlat, context: dict[str, object]) -> Step:
    """Return a node with its rule; the context knows whether the first layer with weights is past.

    Separable convolutions take turns with pointwise ones, which mix the few channels.
    """
    name, sources = name_of(node), _sources(node)
    if node.op == "call_module":
        if isinstance(_module(node), _RESHAPING):
            return Step(ReshapeLayer(node.meta["shape"]), sources)
        if merged:
            return Step(Layer(nn.Identity()), sources)
        hook = composite.module_map(context, node.name, _module(node))
        if isinstance(hook, ZPlus) and (is_grouped(_module(node)) or (separable and is_pointwise(_module(node)))):
            hook = ZPlusFlat()
        return Step(_layer_of(_module(node), hook), sources)
    if len(sources) == 2 and name in operations.ADDED:
        return Step(SumLayer(), sources)
    if name in operations.CONCATENATED:
        return Step(ConcatenateLayer(operations.axis(node)), sources)
    signals = [value for value in operations.operands(node) if "shape" in value.meta]
    if len(signals) == 2 and name in operations.MULTIPLIED:
        return Step(GateLayer(torch.mul), (*sources, *(value for value in signals if value is not sources[0])))
    function = function_of(node, sources[0])
    if name in operations.AVERAGED:
        return Step(NormLayer(function), sources)
    if name in operations.RESHAPED:
        return Step(ReshapeLayer(node.meta["shape"]), sources)
    if name in operations.SELECTED or name == "getitem":
        return Step(SelectLayer(function), sources)
    return Step(Layer(function), sources)


def _layer_of(module: Any, hook: Hook) -> Layer:
    """Return a module with its rule, which is that of the hook where it has weights."""
    if isinstance(module, NEUTRAL):
        return Layer(nn.Identity())
    if isinstance(module, _BatchNorm):
        return Layer(module)
    if type(module) is nn.MaxPool2d and not module.return_indices:
        return MaxPoolLayer(module)
    if _is_any(module, _SELECTING):
        return SelectLayer(module)
    if _is_any(module, _PASSING):
        # the layer before keeps its output
        if getattr(module, "inplace", False):
            module.inplace = False
        return Layer(module)
    return ruled_layer(module, hook)


def is_grouped(module: Any) -> bool:
    """Whether each output of a layer sees only some of the channels, in a depthwise convolution one."""
    return isinstance(module, Convolution) and module.groups > 1


def is_pointwise(module: Any) -> bool:
    """Whether each output of a layer sees one position only."""
    return isinstance(module, Convolution) and set(module.kernel_size) == {1}


def _merge_batch_norms(on_path: list[fx.Node]) -> set[fx.Node]:
    """Merge each batch norm into the linear layer before it that nothing else listens to; return those merged."""
    merged = set()
    targets = [node.target for node in on_path if node.op == "call_module"]
    for node in on_path:
        norm = _module(node)
        if not isinstance(norm, _BatchNorm):
            continue
        if norm.running_mean is None or norm.running_var is None:
            raise ConfigError(
                f"{REFUSED}its batch norm '{node.target}' normalises with the statistics of the batch, so that what "
                "it makes of an image depends on the others."
            )
        (before,) = _sources(node)
        layer = _module(before)
        once = len(before.users) == 1 and targets.count(before.target) == 1 and targets.count(node.target) == 1
        if isinstance(layer, Linear) and once:
            if norm.weight is None:
                norm.weight = nn.Parameter(torch.ones_like(norm.running_var), requires_grad=False)
                norm.bias = nn.Parameter(torch.zeros_like(norm.running_var), requires_grad=False)
            MergeBatchNorm.merge_batch_norm([layer], norm)
            merged.add(node)
    return merged


def _module(node: fx.Node) -> Any:
    root = node.graph.owning_module
    return root.get_submodule(str(node.target)) if root is not None and node.op == "call_module" else None


def _is_any(module: nn.Module, kinds: tuple[Any, ...]) -> bool:
    """Like isinstance, which does not take zennit's types in a tuple with others."""
    return any(isinstance(module, kind) for kind in kinds)


def _is_gate(node: fx.Node) -> bool:
    """Whether a value comes from a sigmoid, at most reshaped since."""
    while name_of(node) in operations.SPREAD and isinstance(node.args[0], fx.Node):
        node = node.args[0]
    return isinstance(_module(node), (nn.Sigmoid, nn.Hardsigmoid)) or name_of(node) in operations.GATES


def _keeps_images(node: fx.Node) -> bool:
    """Whether the first axis is still that of the images."""
    origin = next(other for other in node.graph.nodes if other.op == "placeholder")
    return bool(node.meta["shape"][:1] == origin.meta["shape"][:1])


def _check(node: fx.Node, holds: bool) -> None:
    """Refuse a node unless something holds of it."""
    if holds:
        return
    if node.op == "call_module":
        kind = type(_module(node)).__name__
        raise ConfigError(f"{REFUSED}no relevance rule is known for its layer '{node.target}' ({kind}).")
    raise ConfigError(
        f"{REFUSED}no relevance rule is known for its operation '{name_of(node) or node.target}' as it stands in "
        f"'{node.name}'."
    )
