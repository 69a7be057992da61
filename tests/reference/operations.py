"""Slow twins of the network operations: what relevance does in each, in float64, one image, without torch.

A twin names the functions and the classes of layers that it replicates, as they are registered in
``xda.relevance.operations``. It gets the inputs that take relevance and the relevance R_k of the outputs, without the
axis of the images, and returns the relevance R_j of the inputs. The equations that a rule shares with several
operations are in ``tests.reference.rules``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tests.reference import rules
from tests.reference.lrp import Matrix, fully_connected
from tests.reference.rules import Twin
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from zennit.types import Activation, AvgPool, MaxPool

OPERATION_TWINS: dict[Any, Twin] = {}
"""By name of a function or class of layers."""


def replicates(*replicated: Any) -> Callable[[Twin], Twin]:
    """Note that a function is the slow twin of operations."""

    def note(twin: Twin) -> Twin:
        assert not OPERATION_TWINS.keys() & set(replicated)
        OPERATION_TWINS.update(dict.fromkeys(replicated, twin))
        return twin

    return note


@replicates(
    *("relu", "relu_", "relu6", "hardtanh", "hardtanh_", "leaky_relu", "leaky_relu_", "elu", "selu", "celu", "silu"),
    *("hardswish", "gelu", "mish", "softplus", "tanh", "sigmoid", "hardsigmoid", "clamp", "clamp_", "contiguous"),
    *("clone", "detach", "stochastic_depth"),
    *("dropout", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"),
    *(Activation, nn.Mish, _BatchNorm),
    *(nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout),
    *("sub", "sub_", "subtract", "div", "div_", "truediv", "divide", "true_divide"),
)
def passed(inputs: list[Matrix], relevance: Matrix) -> list[Matrix]:
    """R_j = R_j: it acts on each value alone; what a constant subtracts or divides by takes nothing."""
    return [relevance.copy()]


@replicates("add", "add_")
def added(inputs: list[Matrix], relevance: Matrix) -> list[Matrix]:
    """Rule ``Norm`` for two branches; a constant takes nothing."""
    return rules.summed(inputs, relevance) if len(inputs) == 2 else [relevance.copy()]


@replicates("mul", "mul_", "multiply")
def multiplied(inputs: list[Matrix], relevance: Matrix) -> list[Matrix]:
    """Let the signal take all; the gate or the positive constant takes nothing (LRP-all, Arras et al. 2019)."""
    assert len(inputs) == 1
    return [relevance.copy()]


@replicates("mean", "avg_pool2d", "adaptive_avg_pool2d", AvgPool)
def averaged(inputs: list[Matrix], relevance: Matrix, *, size: tuple[int, int]) -> list[Matrix]:
    """R_j = a_j / n / (z_k + eps sign(z_k)) R_k with z_k the mean of the n values in the window k that has j."""
    (x,) = inputs
    channels, height, width = x.shape[0], x.shape[1] // size[0], x.shape[2] // size[1]
    weight = np.zeros((channels, height, width, *x.shape))
    for channel, row, column in np.ndindex(channels, height, width):
        rows = slice(row * size[0], (row + 1) * size[0])
        weight[channel, row, column, channel, rows, column * size[1] : (column + 1) * size[1]] = 1 / np.prod(size)
    matrix = weight.reshape(relevance.size, x.size)
    return rules.weighted(inputs, relevance, layer=fully_connected(matrix, np.zeros(relevance.size)))


@replicates("max_pool2d", "adaptive_max_pool2d", MaxPool)
def maximum(inputs: list[Matrix], relevance: Matrix) -> list[Matrix]:
    """Give the relevance of each window of 2 x 2 to its largest value."""
    return rules.max_pooled(inputs, relevance, size=2)


@replicates("flatten", "view", "reshape", "squeeze", "unsqueeze", "unflatten", nn.Flatten, nn.Unflatten)
def reshaped(inputs: list[Matrix], relevance: Matrix) -> list[Matrix]:
    """Value n of the outputs is value n of the inputs."""
    return rules.reshaped(inputs, relevance)


@replicates("permute", "transpose", "swapaxes")
def permuted(inputs: list[Matrix], relevance: Matrix, *, axes: tuple[int, ...]) -> list[Matrix]:
    """Output (j_a0, j_a1, ...) is input (j_0, j_1, ...) for the permutation a."""
    return rules.permuted(inputs, relevance, axes=axes)


@replicates("narrow", "getitem")
def taken(inputs: list[Matrix], relevance: Matrix, *, first: int) -> list[Matrix]:
    """Channel c of the outputs is channel first + c of the inputs; the other channels take nothing."""
    result = np.zeros(inputs[0].shape)
    for channel, values in enumerate(relevance):
        result[first + channel] = values
    return [result]


@replicates("cat", "concat", "concatenate")
def concatenated(inputs: list[Matrix], relevance: Matrix) -> list[Matrix]:
    """Concatenate the channels: those of each input follow those of the one before."""
    return rules.concatenated(inputs, relevance)


@replicates(nn.ZeroPad2d)
def padded(inputs: list[Matrix], relevance: Matrix, *, left: int, top: int) -> list[Matrix]:
    """Let each pixel take the relevance at its place within the margin; that of the margin itself is lost."""
    result = np.zeros(inputs[0].shape)
    for channel, row, column in np.ndindex(result.shape):
        result[channel, row, column] = relevance[channel, top + row, left + column]
    return [result]
