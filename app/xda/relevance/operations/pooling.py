"""Pooling: averages follow rule ``Norm``; a maximum passes its relevance to the largest value."""

from __future__ import annotations

from torch import fx, nn
from zennit.types import AvgPool, MaxPool

from xda.relevance.nodes import function_of, module_of, single_signal
from xda.relevance.operations.registry import Operation, Sources, register
from xda.relevance.rules import Layer, MaxPoolLayer, NormLayer, SelectLayer


def _average(node: fx.Node, sources: Sources) -> Layer:
    return NormLayer(function_of(node, sources[0]))


def _maximum(node: fx.Node, sources: Sources) -> Layer:
    module = module_of(node)
    plain = type(module) is nn.MaxPool2d and not module.return_indices
    return MaxPoolLayer(module) if plain else SelectLayer(function_of(node, sources[0]))


register(Operation(single_signal, _average, functions=("mean", "avg_pool2d", "adaptive_avg_pool2d"), layers=(AvgPool,)))
register(Operation(single_signal, _maximum, functions=("max_pool2d", "adaptive_max_pool2d"), layers=(MaxPool,)))
