"""Pooling: averages follow rule ``Norm``; a maximum passes its relevance to the largest value."""

from __future__ import annotations

from torch import fx, nn
from zennit.types import AvgPool, MaxPool

from xda.relevance.nodes import function_of, module_of, single_signal
from xda.relevance.operations.registry import Operation, Sources, register
from xda.relevance.rules import Layer, MaxPoolLayer, NormLayer, SelectLayer


def _maximum(node: fx.Node, sources: Sources) -> Layer:
    module = module_of(node)
    plain = type(module) is nn.MaxPool2d and not module.return_indices
    return MaxPoolLayer(module) if plain else SelectLayer(module)


register(
    Operation(
        functions=frozenset({"mean", "avg_pool2d", "adaptive_avg_pool2d"}),
        sources=single_signal,
        rule=lambda node, sources: NormLayer(function_of(node, sources[0])),
    )
)
register(
    Operation(
        layers=(AvgPool,),
        sources=single_signal,
        rule=lambda node, sources: NormLayer(module_of(node)),
    )
)
register(
    Operation(
        functions=frozenset({"max_pool2d", "adaptive_max_pool2d"}),
        sources=single_signal,
        rule=lambda node, sources: SelectLayer(function_of(node, sources[0])),
    )
)
register(Operation(layers=(MaxPool,), sources=single_signal, rule=_maximum))
