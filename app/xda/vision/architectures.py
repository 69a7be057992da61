"""What it takes to propagate relevance through an architecture: its canonizers, or the reason why it cannot be done."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from zennit.canonizers import Canonizer, SequentialMergeBatchNorm
from zennit.types import Activation, AvgPool, BatchNorm, Linear

from xda.errors import ConfigError

_NEUTRAL = (
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.AdaptiveMaxPool2d,
    nn.Flatten,
    nn.Unflatten,
    nn.Identity,
    nn.Dropout,
    nn.Dropout2d,
)
"""Layers whose gradient hands relevance on as it should be: selection, reshaping, nothing at all."""


@dataclass(frozen=True, slots=True)
class Canonization:
    """The canonizers for one architecture and what a person is told of them."""

    name: str
    """Empty where none is needed."""
    canonizers: tuple[Canonizer, ...]


def canonization(network: nn.Module) -> Canonization:
    """Choose the canonizers for a network.

    Parameters
    ----------
    network : nn.Module
        In its ordinary form.

    Returns
    -------
    Canonization

    Raises
    ------
    ConfigError
        If the network has layers for which no rule is known; a wrong heat-map would be worse than none.
    """
    for name, module in network.named_modules():
        is_leaf = not any(True for _ in module.children())
        known = isinstance(module, (*_NEUTRAL, Linear, Activation, AvgPool, BatchNorm))
        if (is_leaf and not known) or isinstance(module, nn.MultiheadAttention):
            raise ConfigError(
                f"Heat-maps are not available for this network: no relevance rule is known for its layer '{name}' "
                f"({type(module).__name__})."
            )
    # A network can only hold blocks of torchvision's ResNet where that is imported already; see xda.vision.lazy.
    if "torchvision.models.resnet" in sys.modules:
        from torchvision.models.resnet import BasicBlock, Bottleneck
        from zennit.torchvision import ResNetCanonizer

        if any(isinstance(module, (BasicBlock, Bottleneck)) for module in network.modules()):
            return Canonization("ResNetCanonizer", (ResNetCanonizer(),))
    if any(isinstance(module, BatchNorm) for module in network.modules()):
        return Canonization("SequentialMergeBatchNorm", (SequentialMergeBatchNorm(),))
    return Canonization("", ())


def refuse_unmerged(network: nn.Module) -> None:
    """Refuse a canonized network in which a batch norm is left that is no identity.

    Raises
    ------
    ConfigError
        If there is one: relevance would pass it unchanged although it rescales its input.
    """
    for name, module in network.named_modules():
        if isinstance(module, _BatchNorm) and not (
            module.running_mean is not None
            and module.running_var is not None
            and bool((module.running_mean == 0).all())
            and bool((module.running_var == 1).all())
        ):
            raise ConfigError(
                f"Heat-maps are not available for this network: its batch norm '{name}' does not directly follow a "
                "convolution or linear layer into which it could be merged."
            )
