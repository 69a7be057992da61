"""Chooses a rule for every operation that relevance passes, or refuses the network with the reason.

The canonical form that the rules need is found in the graph of operations, not by the name of a network: a batch norm
is merged into the layer before it where nothing else sees that layer's output, branches are added by rule ``Norm``, a
gate counts as a constant. This covers VGG, ResNet, DenseNet, MobileNet, EfficientNet and similar networks of any
library. A network with an operation without a rule is refused: a wrong heat-map would be worse than none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from zennit.canonizers import MergeBatchNorm
from zennit.composites import EpsilonPlusFlat
from zennit.rules import ZPlus
from zennit.types import Convolution, Linear

from xda.errors import ConfigError
from xda.networks.refusals import REFUSED, refuse_known
from xda.relevance.nodes import module_of, name_of, require, single_signal
from xda.relevance.operations.registry import Operation, operation_of
from xda.relevance.rules import GateLayer, Layer, SumLayer, ZPlusFlat, ZPlusFlatLayer, ruled_layer

_WEIGHTED = Operation(sources=single_signal, rule=lambda node, sources: Layer(module_of(node)))
"""Layers with weights; the composite chooses their rule."""


@dataclass(frozen=True, slots=True)
class Step:
    """One operation on the way of relevance from the features to the pixels."""

    layer: Layer
    inputs: tuple[fx.Node, ...]
    """Nodes that the operation reads; relevance goes to the first ones, as many as ``layer.propagate`` returns."""


@dataclass(frozen=True, slots=True)
class Canonization:
    """A network in its canonical form, with the rules for its operations and a description for people."""

    recorded: fx.GraphModule
    steps: dict[fx.Node, Step]
    """The operations that relevance passes; all others only compute values for them."""
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
        An operation has no rule.
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
    separable = any(is_grouped(module_of(node)) for node in on_path)
    steps = {node: _step(node, node in merged, separable, composite, context) for node in on_path}
    norms = sum(isinstance(module_of(node), _BatchNorm) for node in on_path)
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


def _operation(node: fx.Node) -> Operation:
    """Return the registered operation of a node, or refuse the node."""
    operation = _WEIGHTED if isinstance(module_of(node), Linear) else operation_of(node)
    require(node, operation is not None and (node.op == "call_module" or "shape" in node.meta))
    assert operation is not None
    return operation


def _sources(node: fx.Node) -> tuple[fx.Node, ...]:
    """Return the nodes to which the relevance of a node goes, or refuse the node."""
    return _operation(node).sources(node)


def _step(node: fx.Node, merged: bool, separable: bool, composite: EpsilonPlusFlat, context: dict[str, object]) -> Step:
    """Return a node with its rule; the context knows whether the first layer with weights has its rule already.

    Separable convolutions take turns with pointwise ones, which mix the few channels.
    """
    operation, module = _operation(node), module_of(node)
    sources = operation.sources(node)
    if merged:
        return Step(Layer(nn.Identity()), sources)
    if isinstance(module, Linear):
        hook = composite.module_map(context, node.name, module)
        if isinstance(hook, ZPlus) and (is_grouped(module) or (separable and is_pointwise(module))):
            hook = ZPlusFlat()
        return Step(ruled_layer(module, hook), sources)
    return Step(operation.rule(node, sources), (*sources, *operation.others(node, sources)))


def is_grouped(module: Any) -> bool:
    """Whether each output of a layer sees only some of the channels; in a depthwise convolution it sees one."""
    return isinstance(module, Convolution) and module.groups > 1


def is_pointwise(module: Any) -> bool:
    """Whether each output of a layer sees one position only."""
    return isinstance(module, Convolution) and set(module.kernel_size) == {1}


def _merge_batch_norms(on_path: list[fx.Node]) -> set[fx.Node]:
    """Merge each batch norm into the linear layer before it if nothing else uses that layer; return those norms."""
    merged = set()
    targets = [node.target for node in on_path if node.op == "call_module"]
    for node in on_path:
        norm = module_of(node)
        if not isinstance(norm, _BatchNorm):
            continue
        if norm.running_mean is None or norm.running_var is None:
            raise ConfigError(
                f"{REFUSED}its batch norm '{node.target}' normalises with the statistics of the batch, so its output "
                "for an image depends on the other images."
            )
        (before,) = _sources(node)
        layer = module_of(before)
        once = len(before.users) == 1 and targets.count(before.target) == 1 and targets.count(node.target) == 1
        if isinstance(layer, Linear) and once:
            if norm.weight is None:
                norm.weight = nn.Parameter(torch.ones_like(norm.running_var), requires_grad=False)
                norm.bias = nn.Parameter(torch.zeros_like(norm.running_var), requires_grad=False)
            MergeBatchNorm.merge_batch_norm([layer], norm)
            merged.add(node)
    return merged
