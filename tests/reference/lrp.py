"""Slow twin of the heat-maps: layer-wise relevance propagation with one dense matrix per layer, float64, one image.

Follows the rules as published, without torch or zennit. With a_j the inputs of a layer, w_kj its weights and R_k the
relevance of its outputs (Bach et al. 2015; Lapuschkin et al. 2019 for the flat rule):

    epsilon    R_j = sum_k a_j w_kj / (z_k + eps sign(z_k)) R_k,     z_k = sum_j a_j w_kj
    z-plus     R_j = sum_k (a_j w_kj)^+ / (z_k + eps) R_k,           z_k = sum_j (a_j w_kj)^+
    z+flat     as z-plus, and [k sees j] / n_k (1 - z_k / (z_k + eps)) R_k, what the stabiliser takes, on top
    flat       R_j = sum_k [k sees j] / (n_k + eps) R_k,             n_k = number of inputs that k sees

where sign(0) = 1. Biases take part in the forward pass only, and a ReLU passes relevance unchanged. The composite
EpsilonPlusFlat is flat for the first layer, z-plus for the other convolutions, epsilon for fully connected layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

EPSILON = 1e-6

Matrix = NDArray[np.float64]
Rule = Literal["epsilon", "z-plus", "z-plus-flat", "flat"]


@dataclass(frozen=True)
class MatrixLayer:
    """An affine layer as a matrix, followed by a ReLU."""

    rule: Rule
    weight: Matrix
    """Shape (outputs, inputs)."""
    bias: Matrix
    """Shape (outputs,)."""
    sees: NDArray[np.bool_]
    """Which input each output is connected with, also by a weight of zero; shape (outputs, inputs)."""


def convolution(kernel: Matrix, bias: Matrix, size: tuple[int, int], rule: Rule, groups: int = 1) -> MatrixLayer:
    """Write a convolution without padding as a matrix, entry by entry.

    Parameters
    ----------
    kernel : array of float64
        Shape (O, I / groups, h, w).
    bias : array of float64
        Shape (O,).
    size : (H, W)
        Of the input.
    rule : {"z-plus", "z-plus-flat", "flat"}
    groups : int
        Output o sees the channels of its group only.
    """
    n_out, per_group, kernel_h, kernel_w = kernel.shape
    n_in = per_group * groups
    height, width = size
    out_h, out_w = height - kernel_h + 1, width - kernel_w + 1
    weight = np.zeros((n_out, out_h, out_w, n_in, height, width))
    sees = np.zeros(weight.shape, dtype=bool)
    for o in range(n_out):
        first = o // (n_out // groups) * per_group
        for row in range(out_h):
            for column in range(out_w):
                window = (slice(first, first + per_group), slice(row, row + kernel_h), slice(column, column + kernel_w))
                weight[o, row, column][window] = kernel[o]
                sees[o, row, column][window] = True
    shape = (n_out * out_h * out_w, n_in * height * width)
    return MatrixLayer(rule, weight.reshape(shape), np.repeat(bias, out_h * out_w), sees.reshape(shape))


def fully_connected(weight: Matrix, bias: Matrix) -> MatrixLayer:
    """Return a fully connected layer under the epsilon rule; weight (O, I), bias (O,)."""
    return MatrixLayer("epsilon", weight, bias, np.ones(weight.shape, dtype=bool))


def activations(layers: Sequence[MatrixLayer], x: Matrix) -> list[Matrix]:
    """Return the input of every layer and, last, the output of the network: phi(x)."""
    values = [x.ravel()]
    for layer in layers:
        values.append(np.maximum(layer.weight @ values[-1] + layer.bias, 0))
    return values


def heat_map(layers: Sequence[MatrixLayer], x: Matrix, relevance: Matrix) -> Matrix:
    """Propagate relevance on phi(x) to the pixels.

    Parameters
    ----------
    layers : sequence of MatrixLayer
        First layer first.
    x : array of float64
        Network input, shape (C, H, W).
    relevance : array of float64
        Shape (d,).

    Returns
    -------
    array of float64
        Shape (H, W), channels summed.
    """
    values = activations(layers, x)
    for layer, a in zip(reversed(layers), reversed(values[:-1]), strict=True):
        relevance = layer_relevance(layer, a, relevance)
    summed: Matrix = relevance.reshape(x.shape).sum(axis=0)
    return summed


def layer_relevance(layer: MatrixLayer, a: Matrix, relevance: Matrix) -> Matrix:
    """Return the relevance of a layer's inputs a, shape (inputs,), by the equation of its rule."""
    share = {
        "epsilon": layer.weight * a,
        "z-plus": np.maximum(layer.weight * a, 0),
        "z-plus-flat": np.maximum(layer.weight * a, 0),
        "flat": layer.sees.astype(np.float64),
    }[layer.rule]
    z = share.sum(axis=1)
    stable = z + EPSILON * np.where(z >= 0, 1, -1)
    rest = relevance * (1 - z / stable) if layer.rule == "z-plus-flat" else np.zeros_like(relevance)
    result: Matrix = share.T @ (relevance / stable) + layer.sees.T @ (rest / layer.sees.sum(axis=1))
    return result
