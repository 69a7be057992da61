"""Records a network as a graph of operations, inside and between its layers (`torch.fx`).

zennit sees only the layers of a network. Operations of a forward method between them (``x + y``, ``F.relu``,
``torch.cat``) would get the ordinary gradient unnoticed. In the graph, an unknown operation refuses the network.
"""

from __future__ import annotations

import copy
import os
import traceback
from types import FrameType
from typing import Any

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize
from zennit.types import Activation, AvgPool, Linear, MaxPool

from xda.errors import ConfigError
from xda.networks.refusals import REFUSED, is_scripted, refuse_known
from xda.relevance.operations.registry import is_known_layer

NEUTRAL = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
"""Layers that do nothing in eval mode."""

_SKIPPED_IN_TRAINING = ("StochasticDepth", "DropPath", "DropBlock2d")
"""Layers of torchvision and timm that drop whole branches during training."""

_SAME_PADDING = ("Conv2dSame", "Conv2dStaticSamePadding", "Conv2dDynamicSamePadding")
"""Convolutions of timm and efficientnet-pytorch that pad and then convolve: linear in input and weight."""

_SWISH = ("Swish", "MemoryEfficientSwish", "SwishMe")
"""Layers of timm and efficientnet-pytorch that compute SiLU under other names."""


def trace(network: nn.Module, example: torch.Tensor) -> fx.GraphModule:
    """Record a network's operations.

    Parameters
    ----------
    network : nn.Module
        In eval mode; left as it is.
    example : torch.Tensor
        Inputs, shape (m, C, H, W), on its device. m must be at least 2, so that the images' axis can be recognised.

    Returns
    -------
    fx.GraphModule
        A copy that computes the same. A node whose value is a tensor that depends on the image has its shape as
        ``meta["shape"]``, any other its value as ``meta["constant"]``.

    Raises
    ------
    ConfigError
        If the network cannot be recorded.
    """
    refuse_known(type(module).__name__ for module in network.modules())
    if is_scripted(network):
        raise ConfigError(f"{REFUSED}a part of it is a TorchScript program, whose layers are hidden.")
    _refuse_changed(network)
    root = _with_ordinary_layers(copy.deepcopy(network).requires_grad_(False))
    try:
        with torch.no_grad():
            recorded = fx.GraphModule(root, _Recorder().trace(root))
            _Shapes(recorded).run(example)
    except ConfigError:
        raise
    except Exception as error:  # given symbols instead of tensors, a forward method may raise any error
        raise ConfigError(f"{REFUSED}{_obstacle(error, root)}") from None
    return recorded


def _obstacle(error: Exception, root: nn.Module) -> str:
    """Name the part of a network that could not be followed, and say that attributions do not need it."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if isinstance(_self_of(frame), nn.Module)]
    own = [frame for frame in frames if not frame.f_globals.get("__name__", "").startswith(("torch.", __package__))]
    left = "Attributions do not need this: they are complete, only the heat-maps are missing"
    if not own:
        reason = " ".join(str(error).split())[:200]
        return f"its steps cannot be followed one by one ({reason}). {left}."
    names = {id(module): name for name, module in root.named_modules() if name}
    module = _self_of(own[-1])
    name, kind = names.get(id(module)), type(module).__name__
    part = f"its part '{name}' ({kind})" if name else f"its forward pass ({kind})"
    branches = isinstance(error, fx.proxy.TraceError)
    does = (
        "asks about its input while it runs (an if, a loop or an assertion)"
        if branches
        else "uses its input in a way that cannot be followed step by step"
    )
    place = f"{os.path.basename(own[-1].f_code.co_filename)}, line {_line(error, own[-1])}"
    return f"{part} {does} ({place}), so it is no fixed sequence of layers. {left}."


def _self_of(frame: FrameType) -> Any:
    return frame.f_locals.get("self")


def _line(error: Exception, frame: FrameType) -> int:
    """Return the line at which an error left a frame."""
    return [line for each, line in traceback.walk_tb(error.__traceback__) if each is frame][-1]


class _Recorder(fx.Tracer):
    """Records layers with rules as single operations and traces into all others."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is one operation."""
        if isinstance(m, Linear):
            return _computes_as_its_base(m) or type(m).__name__ in _SAME_PADDING
        if isinstance(m, (_BatchNorm, Activation, AvgPool, MaxPool, *NEUTRAL)):
            return type(m).__module__.startswith("torch.nn")
        leaf: bool = super().is_leaf_module(m, module_qualified_name)
        return leaf or is_known_layer(m)


class _Shapes(fx.Interpreter):
    """Stores the shape of every tensor that depends on the image, and every other value."""

    def run_node(self, n: fx.Node) -> Any:
        if n.target is torch._assert:
            return None
        with torch.no_grad():
            value = super().run_node(n)
        varies = n.op == "placeholder" or any(
            "shape" in source.meta or "parts" in source.meta for source in n.all_input_nodes
        )
        if varies and isinstance(value, torch.Tensor):
            n.meta["shape"] = value.shape
        elif varies and isinstance(value, (tuple, list)) and any(isinstance(part, torch.Tensor) for part in value):
            n.meta["parts"] = len(value)
        else:
            n.meta["constant"] = value
        return value


def _refuse_changed(network: nn.Module) -> None:
    """Refuse a network with a layer that computes with other weights than its own.

    Raises
    ------
    ConfigError
        If hooks or parametrizations stand between a layer and its weights.
    """
    for name, module in network.named_modules():
        if module._forward_hooks or module._forward_pre_hooks or parametrize.is_parametrized(module):
            raise ConfigError(
                f"{REFUSED}its layer '{name}' ({type(module).__name__}) has hooks or parametrizations, weight norm for "
                "example, that change what it computes; remove them before the weights are saved."
            )


def _with_ordinary_layers(root: nn.Module) -> nn.Module:
    """Replace, in place, layers equivalent to a layer of torch.nn by that layer."""
    for name, module in reversed(list(root.named_modules())):
        ordinary = _ordinary(module)
        if ordinary is not None and name:
            parent, _, child = name.rpartition(".")
            setattr(root.get_submodule(parent), child, ordinary)
    return root


def _ordinary(module: nn.Module) -> nn.Module | None:
    """Return the equivalent layer of torch.nn in eval mode; None if the layer needs no replacement."""
    kind = type(module).__name__
    if kind in _SKIPPED_IN_TRAINING:
        return nn.Identity()
    if kind in _SWISH and not any(True for _ in module.parameters()):
        return nn.SiLU()
    if kind == "ConvMlp":
        # timm's VGG; its forward pass asks for the image's size
        return nn.Sequential(*(module.get_submodule(part) for part in ("fc1", "act1", "drop", "fc2", "act2")))
    if kind == "FrozenBatchNorm2d":
        return _batch_norm(module)
    act = getattr(module, "act", None)
    if isinstance(module, _BatchNorm) and isinstance(act, nn.Module):
        # timm's batch norm with its activation
        return nn.Sequential(_batch_norm(module), act).eval()
    return None


def _batch_norm(module: nn.Module) -> nn.BatchNorm2d:
    """Return a module with the tensors of a batch norm as ``torch.nn.BatchNorm2d``."""
    tensors = module.state_dict()
    mean = tensors["running_mean"]
    plain = nn.BatchNorm2d(len(mean), eps=float(getattr(module, "eps", 0.0)), device=mean.device, dtype=mean.dtype)
    plain.load_state_dict(tensors, strict=False)
    return plain.eval().requires_grad_(False)


def _computes_as_its_base(module: nn.Module) -> bool:
    """Whether a layer of torch itself defines the forward pass."""
    bases = (base for base in type(module).__mro__ if base.__module__.startswith("torch.nn.modules"))
    return any(type(module).forward is base.__dict__.get("forward") for base in bases) and all(
        getattr(type(module), name, None) is getattr(nn.Conv2d, name)
        for name in ("_conv_forward",)
        if isinstance(module, nn.Conv2d)
    )
