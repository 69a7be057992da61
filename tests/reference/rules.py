"""Slow twins of the relevance rules of single operations: float64, one image, loops or a dense matrix, without torch.

Each twin says which rule of ``xda.relevance`` it replicates. It gets the inputs of the operation and the relevance R_k
of its outputs, without the axis of the images, and returns the relevance R_j of the inputs that take any. The
equations of layers with weights are in ``tests.reference.lrp``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tests.reference.lrp import EPSILON, Matrix, MatrixLayer, layer_relevance

from xda.relevance import rules

Twin = Callable[..., list[Matrix]]
TWINS: dict[type[rules.Layer], Twin] = {}
"""By rule."""


def replicates(*replicated: type[rules.Layer]) -> Callable[[Twin], Twin]:
    """Note that a function is the slow twin of rules."""

    def note(twin: Twin) -> Twin:
        TWINS.update(dict.fromkeys(replicated, twin))
        return twin

    return note


@replicates(rules.Layer)
def passed(inputs: list[Matrix], relevance: Matrix) -> list[Matrix]:
    """R_j = R_j: an activation passes relevance unchanged."""
    return [relevance.copy()]


@replicates(rules.GateLayer)
def gated(inputs: list[Matrix], relevance: Matrix) -> list[Matrix]:
    """Let the signal take all and the gate nothing (LRP-all, Arras et al. 2019)."""
    return [relevance.copy()]


@replicates(rules.ReshapeLayer)
def reshaped(inputs: list[Matrix], relevance: Matrix) -> list[Matrix]:
    """Value n of the outputs is value n of the inputs."""
    result = np.zeros(inputs[0].shape)
    for place, value in zip(np.ndindex(result.shape), relevance.ravel(), strict=True):
        result[place] = value
    return [result]


@replicates(rules.SelectLayer)
def permuted(inputs: list[Matrix], relevance: Matrix, *, axes: tuple[int, ...]) -> list[Matrix]:
    """Output (j_a0, j_a1, ...) is input (j_0, j_1, ...) for the permutation a."""
    result = np.zeros(inputs[0].shape)
    for place in np.ndindex(result.shape):
        result[place] = relevance[tuple(place[axis] for axis in axes)]
    return [result]


@replicates(rules.MaxPoolLayer)
def max_pooled(inputs: list[Matrix], relevance: Matrix, *, size: int) -> list[Matrix]:
    """Give the relevance of each window to its largest value."""
    (x,) = inputs
    result = np.zeros(x.shape)
    for channel, row, column in np.ndindex(relevance.shape):
        places = [(channel, row * size + i, column * size + j) for i in range(size) for j in range(size)]
        result[max(places, key=lambda place: x[place])] += relevance[channel, row, column]
    return [result]


@replicates(rules.ConcatenateLayer)
def concatenated(inputs: list[Matrix], relevance: Matrix) -> list[Matrix]:
    """Concatenate along the first axis: the rows of each input follow those of the one before."""
    parts, start = [], 0
    for x in inputs:
        parts.append(np.stack([relevance[start + row] for row in range(len(x))]))
        start += len(x)
    return parts


@replicates(rules.SumLayer)
def summed(inputs: list[Matrix], relevance: Matrix) -> list[Matrix]:
    """R_j^b = a_j^b / (z_j + eps sign(z_j)) R_j with z_j = sum_b a_j^b over the branches b."""
    z = np.zeros(relevance.shape)
    for x in inputs:
        z += x
    stable = z + EPSILON * np.where(z >= 0, 1, -1)
    return [x / stable * relevance for x in inputs]


@replicates(rules.NormLayer, rules.EpsilonLayer, rules.ZPlusLayer, rules.ZPlusFlatLayer, rules.FlatLayer)
def weighted(inputs: list[Matrix], relevance: Matrix, *, layer: MatrixLayer) -> list[Matrix]:
    """Apply the rule that the matrix names; ``Norm`` is ``Epsilon`` with the matrix of a mean."""
    (x,) = inputs
    return [layer_relevance(layer, x.ravel(), relevance.ravel()).reshape(x.shape)]


def every_rule(root: type[Any] = rules.Layer) -> set[type[rules.Layer]]:
    """Return all rules of the product: a class and what is derived from it."""
    found = {root} if root.__module__.startswith("xda.") else set()
    return found.union(*(every_rule(each) for each in root.__subclasses__()))
