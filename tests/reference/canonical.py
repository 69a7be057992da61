"""Networks put into canonical form by hand, for zennit's own hooks: the independent way to the same heat-maps.

zennit 0.5.1 knows ResNet and VGG. For the others the forward passes of blocks are written anew here, with zennit's
``Sum`` where they add, and with the gate of a squeeze-excite block outside the backward pass.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from zennit.canonizers import AttributeCanonizer, Canonizer, NamedMergeBatchNorm, SequentialMergeBatchNorm
from zennit.composites import EpsilonPlusFlat, MixedComposite, NameMapComposite
from zennit.layer import Sum
from zennit.torchvision import ResNetBasicBlockCanonizer, ResNetBottleneckCanonizer

from xda.networks.heads import split_head
from xda.relevance.rules import ZPlusFlat

Array = NDArray[np.float64]


class MergeInOrder(SequentialMergeBatchNorm):  # type: ignore[misc]
    """zennit's, whose merged batch norms still divide by sqrt(1 + eps): here they are the identity."""

    @staticmethod
    def merge_batch_norm(modules: Sequence[nn.Module], batch_norm: Any) -> None:
        SequentialMergeBatchNorm.merge_batch_norm(modules, batch_norm)
        batch_norm.eps = 0.0


class MergeByName(NamedMergeBatchNorm):  # type: ignore[misc]
    """Likewise."""

    @staticmethod
    def merge_batch_norm(modules: Sequence[nn.Module], batch_norm: Any) -> None:
        MergeInOrder.merge_batch_norm(modules, batch_norm)


def overwritten(kind: str, forward: Callable[..., torch.Tensor]) -> AttributeCanonizer:
    """Return a canonizer that gives the modules of a class, by its name, another forward pass and layers for it."""

    def attributes(_: str, module: nn.Module) -> dict[str, object] | None:
        if type(module).__name__ != kind:
            return None
        return {"forward": forward.__get__(module), "canonizer_sum": Sum(), "canonizer_pool": nn.AvgPool2d(3, 1, 1)}

    return AttributeCanonizer(attributes)


def resnet(network: nn.Module) -> list[Canonizer]:
    """zennit's ResNetCanonizer in its parts."""
    return [MergeInOrder(), ResNetBottleneckCanonizer(), ResNetBasicBlockCanonizer()]


def densenet(network: nn.Module) -> list[Canonizer]:
    """Merge where the batch norm directly follows the convolution; zennit passes the others."""
    names = dict(network.named_modules())
    pairs = [([name.replace("norm2", "conv1")], name) for name in names if name.endswith("norm2")]
    return [MergeByName([*pairs, (["features.conv0"], "features.norm0")])]


def plain(network: nn.Module) -> list[Canonizer]:
    """Merge batch norms in the order of the layers, as zennit does for VGG."""
    return [MergeInOrder()]


def _inverted_residual(self: Any, x: torch.Tensor) -> torch.Tensor:
    return _added(self, x, self.conv(x)) if self.use_res_connect else torch.as_tensor(self.conv(x))


def _mbconv(self: Any, x: torch.Tensor) -> torch.Tensor:
    return _added(self, x, self.block(x)) if self.use_res_connect else torch.as_tensor(self.block(x))


def _mnasnet_block(self: Any, x: torch.Tensor) -> torch.Tensor:
    return _added(self, self.layers(x), x) if self.apply_residual else torch.as_tensor(self.layers(x))


def _regnet_block(self: Any, x: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(self.activation(_added(self, x if self.proj is None else self.proj(x), self.f(x))))


def _branches(*branches: str) -> Callable[[Any, torch.Tensor], torch.Tensor]:
    """Return a forward pass through layers in parallel branches, each branch given by the names of its layers."""

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        outputs = []
        for branch in branches:
            y = x
            for name in branch.split():
                y = getattr(self, name)(y)
            outputs.append(y)
        return torch.cat(outputs, 1)

    return forward


def _squeeze_excite(self: Any, x: torch.Tensor) -> torch.Tensor:
    gate: torch.Tensor = self._scale(x).detach()
    # the gated value, with the gradient of the identity
    return x + (x * gate - x).detach()


def _timm_block(self: Any, x: torch.Tensor) -> torch.Tensor:
    y = x
    for name in self.order:
        y = getattr(self, name)(y)
    return _added(self, x, y) if self.has_skip else y


def _added(block: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(block.canonizer_sum(torch.stack([x, y], dim=-1)))


def mobilenet(network: nn.Module) -> list[Canonizer]:
    """torchvision's MobileNetV2."""
    return [MergeInOrder(), overwritten("InvertedResidual", _inverted_residual)]


def mnasnet(network: nn.Module) -> list[Canonizer]:
    """torchvision's MNASNet."""
    return [MergeInOrder(), overwritten("_InvertedResidual", _mnasnet_block)]


def regnet(network: nn.Module) -> list[Canonizer]:
    """torchvision's RegNet, with or without squeeze-excite."""
    return [
        MergeInOrder(),
        overwritten("ResBottleneckBlock", _regnet_block),
        overwritten("SqueezeExcitation", _squeeze_excite),
    ]


def inception(network: nn.Module) -> list[Canonizer]:
    """torchvision's Inception v3, of which three kinds of blocks average by a function."""
    pool, double = "canonizer_pool branch_pool", "branch3x3dbl_1 branch3x3dbl_2"
    sevens = [" ".join(f"{name}_{k + 1}" for k in range(n)) for name, n in (("branch7x7", 3), ("branch7x7dbl", 5))]
    threes = (
        "branch3x3_1 branch3x3_2a",
        "branch3x3_1 branch3x3_2b",
        f"{double} branch3x3dbl_3a",
        f"{double} branch3x3dbl_3b",
    )
    return [
        MergeInOrder(),
        overwritten("InceptionA", _branches("branch1x1", "branch5x5_1 branch5x5_2", f"{double} branch3x3dbl_3", pool)),
        overwritten("InceptionC", _branches("branch1x1", *sevens, pool)),
        overwritten("InceptionE", _branches("branch1x1", *threes, pool)),
    ]


def efficientnet(network: nn.Module) -> list[Canonizer]:
    """torchvision's EfficientNet and MobileNetV3."""
    return [
        MergeInOrder(),
        overwritten("InvertedResidual", _mbconv),
        overwritten("MBConv", _mbconv),
        overwritten("FusedMBConv", _mbconv),
        overwritten("SqueezeExcitation", _squeeze_excite),
    ]


def timm_efficientnet_lite(network: nn.Module) -> list[Canonizer]:
    """timm's EfficientNet without squeeze-excite; each batch norm follows a convolution with a name like its own."""
    names = list(dict(network.named_modules()))
    layers = [name for name in names if name.split(".")[-1].startswith(("conv", "bn"))]
    pairs = [([conv], norm) for conv, norm in zip(layers[::2], layers[1::2], strict=True)]
    for module in network.modules():
        if type(module).__name__ == "InvertedResidual":
            module.order = ("conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3")  # type: ignore[assignment]
        elif type(module).__name__ == "DepthwiseSeparableConv":
            module.order = ("conv_dw", "bn1", "conv_pw", "bn2")  # type: ignore[assignment]
    return [
        MergeByName(pairs),
        overwritten("InvertedResidual", _timm_block),
        overwritten("DepthwiseSeparableConv", _timm_block),
    ]


def separable(network: nn.Module) -> tuple[str, ...]:
    """Name the grouped convolutions, and in networks that have such the pointwise ones."""
    layers = {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}
    if all(layer.groups == 1 for layer in layers.values()):
        return ()
    return tuple(name for name, layer in layers.items() if layer.groups > 1 or layer.kernel_size == (1, 1))


def heat_maps(
    network: nn.Module,
    images: NDArray[np.floating],
    relevance: Array,
    canonizers: Callable[[nn.Module], Sequence[Canonizer]],
) -> Array:
    """Compute heat-maps with zennit's hooks: a forward pass for every seed.

    Parameters
    ----------
    network : nn.Module
        Only of layers, or of blocks that the canonizers write anew.
    images : array
        As the network takes them, shape (n, C, H, W).
    relevance : array
        Shape (n, d).
    canonizers : callable
        From the network to what brings it into canonical form.

    Returns
    -------
    array
        Shape (n, H, W).
    """
    private = copy.deepcopy(network).eval()
    chosen = list(canonizers(private))
    phi, head = split_head(private)
    composite = MixedComposite(
        [NameMapComposite([(separable(phi), ZPlusFlat())]), EpsilonPlusFlat(zero_params="bias")], canonizers=chosen
    )
    x = torch.from_numpy(images).to(head.weight.dtype).requires_grad_()
    with composite.context(phi) as ruled:
        (pixels,) = torch.autograd.grad(ruled(x), x, torch.from_numpy(relevance).to(x.dtype))
    summed: Array = pixels.sum(dim=1).double().numpy()
    return summed
