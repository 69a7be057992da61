"""Messages that refuse networks without heat-maps or without a head; refuses architectures known to be unsuitable."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from xda.errors import ConfigError

REFUSED = "Heat-maps are not available for this network: "
"""The beginning of every refusal."""

_ATTENTION = frozenset(
    {
        *("MultiheadAttention", "Attention", "SelfAttention", "RelativePositionalMultiHeadAttention"),
        *("WindowAttention", "ShiftedWindowAttention", "ShiftedWindowAttentionV2"),
        *("scaled_dot_product_attention", "multi_head_attention_forward", "matmul", "bmm", "einsum"),
    }
)
_OWN_STATISTICS = ("LayerNorm", "GroupNorm", "InstanceNorm", "layer_norm", "group_norm", "instance_norm")


def refuse_known(kinds: Iterable[str]) -> None:
    """Refuse architectures known to be unsuitable for the composite, with the reason.

    Parameters
    ----------
    kinds : iterable of str
        Names of the classes of layers, or of functions, in the network.

    Raises
    ------
    ConfigError
        If the network has attention, or layers that normalise by an image's own statistics.
    """
    found = set(kinds)
    if found & _ATTENTION:
        raise ConfigError(
            f"{REFUSED}it uses attention (as transformers do), which multiplies activations with each other; the rules "
            "in use are for inputs times weights."
        )
    if any(kind.startswith(_OWN_STATISTICS) for kind in found):
        raise ConfigError(
            f"{REFUSED}it normalises by each image's own mean and spread (layer or group norm, as in ConvNeXt), "
            "for which the rules in use have no counterpart; batch norm is no obstacle."
        )


def is_scripted(network: nn.Module) -> bool:
    """Whether a network or a part of it is a TorchScript program, which hides its layers."""
    return any(isinstance(module, torch.jit.ScriptModule) for module in network.modules())


def refuse_scripted(network: nn.Module) -> None:
    """Refuse a TorchScript program, whose head cannot be found.

    Raises
    ------
    ConfigError
        The network is such a program.
    """
    if is_scripted(network):
        raise ConfigError(
            "The network is a TorchScript program (scripted or traced), whose layers are hidden; load the "
            "model that it was made from, and the weights into that."
        )
