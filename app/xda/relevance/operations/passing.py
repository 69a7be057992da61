"""Operations that relevance passes unchanged (rule ``Pass``): activations, batch norms, dropout in eval mode."""

from __future__ import annotations

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from zennit.types import Activation

from xda.relevance.nodes import function_of, module_of, require, single_signal
from xda.relevance.operations.registry import Operation, Sources, register
from xda.relevance.rules import Layer
from xda.relevance.tracing import NEUTRAL


def _dropped(node: fx.Node) -> Sources:
    """Refuse a dropout that also drops values in eval mode."""
    require(node, (node.kwargs.get("training", node.args[2] if len(node.args) > 2 else True)) is False)
    return single_signal(node)


def _passed(node: fx.Node, sources: Sources) -> Layer:
    module = module_of(node)
    if getattr(module, "inplace", False):
        # the layer before needs its output unchanged
        module.inplace = False
    return Layer(function_of(node, sources[0]))


_ACTIVATIONS = (
    *("relu", "relu_", "relu6", "hardtanh", "hardtanh_", "leaky_relu", "leaky_relu_", "elu", "selu"),
    *("celu", "silu", "hardswish", "gelu", "mish", "softplus", "tanh", "sigmoid", "hardsigmoid"),
    *("clamp", "clamp_", "contiguous", "clone", "detach", "stochastic_depth"),
)
_DROPOUTS = ("dropout", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")

register(Operation(single_signal, _passed, functions=_ACTIVATIONS, layers=(Activation, nn.Mish, _BatchNorm, *NEUTRAL)))
register(Operation(_dropped, _passed, functions=_DROPOUTS))
