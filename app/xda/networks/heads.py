"""Splits a classifier f(x) = V phi(x) + v (method section 1) into phi, everything before the head, and the head.

The head is the last linear layer: a ``torch.nn.Linear``, or a 1 x 1 convolution whose output is averaged over all
positions, which is the same linear map on the averaged input. A head with a single output s = w . phi(x) + b belongs to
a classifier of two classes and becomes two rows, 0 and w: class 0 has the logit 0, class 1 the logit s.

phi ends where the head begins, so it does not depend on later steps. ``find_head`` and ``check_head`` check on images
that the network returns the head's output, its softmax or its sigmoid.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from xda.errors import ConfigError
from xda.networks.outputs import form_of, is_single, tensors
from xda.networks.refusals import refuse_scripted

_NEEDED = "attribution needs a network that returns the output of a linear layer"


class _Reached(Exception):  # noqa: N818 - not an error: it ends the forward pass where the head begins
    def __init__(self, features: torch.Tensor) -> None:
        super().__init__()
        self.features = features


class _Tap(nn.Sequential):
    """Replaces the head: applies its own layers to the input and ends the forward pass with the result."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        for layer in self:
            features = layer(features)
        raise _Reached(features)


class FeatureExtractor(nn.Module):
    """The part of a network before its head; maps images (B, C, H, W) to phi(x), (B, d).

    Parameters
    ----------
    network : nn.Module
        With a tap in the place of the head. Its layers and parameters are those of this module too, under their names.
    """

    _network: nn.Module

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        # not a child: layers of phi keep the names that they have in the network
        object.__setattr__(self, "_network", network)
        for kind in ("_modules", "_parameters", "_buffers", "_non_persistent_buffers_set"):
            object.__setattr__(self, kind, getattr(network, kind))
        self.training = network.training

    def train(self, mode: bool = True) -> FeatureExtractor:
        """Set the mode; see ``torch.nn.Module.train``."""
        super().train(mode)
        self._network.training = mode
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return phi(x).

        Raises
        ------
        ConfigError
            The network returns an output without running its head.
        """
        try:
            self._network.forward(images)
        except _Reached as reached:
            return reached.features
        raise ConfigError(f"The network's output does not come from the layer that was named as its head; {_NEEDED}.")


class Classifier(nn.Module):
    """A network with the name of its head.

    Parameters
    ----------
    network : nn.Module
    head : str
        Name of its last linear layer, such as ``"classifier.1"``.
    """

    def __init__(self, network: nn.Module, head: str) -> None:
        super().__init__()
        self.network = network
        self.head = head
        self.train(network.training)

    def forward(self, images: torch.Tensor) -> object:
        """Return the network's output unchanged."""
        return self.network(images)


def split_head(network: nn.Module) -> tuple[nn.Module, nn.Linear]:
    """Split a classifier into feature extractor and head.

    Parameters
    ----------
    network : nn.Module
        Left as it is; the returned modules share its parameters. The head is the one that is named where this is a
        ``Classifier``, else the last layer with parameters.

    Returns
    -------
    feature_extractor : nn.Module
        The network up to its last linear layer, so that its output is phi(x), shape (B, d).
    head : nn.Linear
        The last linear layer, from d to K; a 1 x 1 convolution is returned as the linear layer that it is, one with a
        single output as one with two, the first of them 0.

    Raises
    ------
    ConfigError
        If there is no such layer or it is not linear.
    """
    name = head_name(network)
    network = without_name(network)
    module = _module(network, name)
    linear = _as_linear(module)
    if not name or linear is None:
        refuse_scripted(module)
        raise ConfigError(
            f"The last layer of the network must be linear (torch.nn.Linear, or a 1 x 1 convolution before a global "
            f"average), but '{name or 'the network'}' is {type(module).__name__}; {_NEEDED}."
        )
    # layers, not a function, because heat-maps need a rule for each step
    rest = (nn.AdaptiveAvgPool2d(1), nn.Flatten()) if isinstance(module, nn.Conv2d) else (nn.Identity(),)
    body = _replaced(network, name.split("."), _Tap(*rest).train(network.training))
    return FeatureExtractor(_without_softmax_behind(body, name)), linear


def without_name(network: nn.Module) -> nn.Module:
    """Return the network in a ``Classifier``; others as they are."""
    return network.network if isinstance(network, Classifier) else network


def head_name(network: nn.Module) -> str:
    """Return the name of the head that ``split_head`` chooses."""
    if isinstance(network, Classifier):
        return network.head
    names = [name for name, module in network.named_modules() if any(True for _ in module.parameters(recurse=False))]
    return names[-1] if names else ""


def find_head(network: nn.Module, images: torch.Tensor, n_classes: int) -> str:
    """Run the network to find the layer whose output it returns.

    The network runs once as it is and once with the layers' outputs negated. The second run reveals steps that leave
    only the first run's values unchanged, for example a ReLU after positive scores.

    Parameters
    ----------
    network : nn.Module
        Put into eval mode; may return a tensor, or a tuple, mapping or dataclass with it.
    images : torch.Tensor
        Images as the network takes them, or noise, shape (B, C, H, W).
    n_classes : int
        Number of classes, K.

    Returns
    -------
    str
        Name of the layer, for a ``Classifier``.

    Raises
    ------
    ConfigError
        There is no such layer; the message gives the reason.
    """
    layers = [(n, m) for n, m in network.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    widths = (n_classes, 1) if n_classes == 2 else (n_classes,)
    candidates = [(n, m) for n, m in layers if n and _width(m) in widths]
    outputs, calls = _observed(network.eval(), candidates, images)
    negated, negated_calls = _observed(network, candidates, images, sign=-1)
    confirmed = {
        (place, call.name)
        for place, output in enumerate(negated)
        for call in negated_calls
        if (scores := call.scores()) is not None and form_of(output, -scores) is not None
    }
    for place, output in enumerate(outputs):
        for call in reversed(calls):
            scores = call.scores()
            if scores is not None and form_of(output, scores) is not None and (place, call.name) in confirmed:
                return call.name
    raise ConfigError(_why_no_head(network, layers, calls, outputs, n_classes))


def check_head(network: nn.Module, head: nn.Linear, features: torch.Tensor, images: torch.Tensor) -> None:
    """Refuse a network that does not return its head's output.

    Parameters
    ----------
    network : nn.Module
        In eval mode.
    head : nn.Linear
        From ``split_head``.
    features : torch.Tensor
        phi of the images, from the feature extractor of ``split_head``, shape (B, d).
    images : torch.Tensor
        Shape (B, C, H, W).

    Raises
    ------
    ConfigError
        The features are not one vector per image, the scores are not finite, or the network changes the head's output
        other than by a softmax.
    """
    if features.shape != (len(images), head.in_features):
        raise ConfigError(
            f"The features before the last linear layer have the shape {tuple(features.shape)}, one vector of "
            f"{head.in_features} per image is needed; pool or flatten before the head."
        )
    name = head_name(network)
    inner = without_name(network)
    layer = _module(inner, name)
    scores = functional.linear(features, head.weight, head.bias).detach()
    outputs, _ = _observed(inner, [(name, layer)], images)
    negated, _ = _observed(inner, [(name, layer)], images, sign=-1)
    if not torch.isfinite(scores).all():
        raise ConfigError("The network's output is not finite (NaN or infinity); check its weights.")
    # negated as well: see find_head
    if not any(
        form_of(output, scores) is not None and form_of(turned, -scores) is not None
        for output, turned in zip(outputs, negated, strict=False)
    ):
        raise ConfigError(
            "The network does something other than a softmax after its last linear layer; its head must come last, "
            "since only a linear head's output is a sum over training images."
        )


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of a layer that may be the head."""

    name: str
    module: nn.Module
    x: torch.Tensor
    y: torch.Tensor

    def scores(self) -> torch.Tensor | None:
        """Return the layer's scores (B, K) if it maps one vector per image linearly; else None."""
        linear = _as_linear(self.module)
        if linear is None or self.x.ndim != (4 if isinstance(self.module, nn.Conv2d) else 2):
            return None
        x = self.x.mean((2, 3)) if self.x.ndim == 4 else self.x
        return functional.linear(x, linear.weight, linear.bias)


def _observed(
    network: nn.Module, layers: Sequence[tuple[str, nn.Module]], images: torch.Tensor, sign: int = 1
) -> tuple[list[torch.Tensor], list[_Call]]:
    """Run a network; return its output, and the inputs and outputs of its layers, outputs times the sign."""
    calls: list[_Call] = []

    def watch(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def hook(_: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
            if inputs:
                calls.append(_Call(name, module, inputs[0].detach(), output.detach()))
            return sign * output

        return module.register_forward_hook(hook)

    handles = [watch(name, module) for name, module in layers]
    try:
        with torch.no_grad():
            return list(tensors(network(images))), calls
    finally:
        for handle in handles:
            handle.remove()


def _why_no_head(
    network: nn.Module,
    layers: list[tuple[str, nn.Linear | nn.Conv2d]],
    calls: list[_Call],
    outputs: list[torch.Tensor],
    n_classes: int,
) -> str:
    """Say in one sentence why no layer is the head."""
    shapes = ", ".join(str(tuple(output.shape)) for output in outputs[:4]) or "no tensor"
    fitting = [output.ndim == 2 and output.shape[1] == n_classes for output in outputs]
    if not any(fitting) and not (n_classes == 2 and any(map(is_single, outputs))):
        return (
            f"The network's output has the shape {shapes}, but there are {n_classes} classes: one logit for each "
            "class is needed; give the network the classes of the data set."
        )
    if any(not torch.isfinite(output).all() for output in outputs):
        return "The network's output is not finite (NaN or infinity) even on noise; check its weights."
    linear = [(name, layer) for name, layer in layers if _as_linear(layer) is not None]
    last = head_name(network)
    # a convolution of several pixels is no head if another layer follows it, even with one output for each class
    calls = [call for call in calls if _as_linear(call.module) is not None or call.name == last]
    if not calls:
        refuse_scripted(network)
        kind = type(network.get_submodule(last)).__name__
        weights = f"; its last layer with weights is '{last}' ({kind})" if last else ""
        if not linear:
            return f"The network has no linear layer (torch.nn.Linear or 1 x 1 convolution){weights}; {_NEEDED}."
        return (
            f"No linear layer of the network has {n_classes} outputs, one for each class (the last one, "
            f"'{linear[-1][0]}', has {_width(linear[-1][1])}): what makes its output is no torch.nn.Linear{weights}; "
            f"{_NEEDED}."
        )
    last_call = calls[-1]
    kind = type(last_call.module).__name__
    if isinstance(last_call.module, nn.Conv2d):
        rectified = last_call.y.relu().mean((2, 3))
        if any(form_of(output, rectified) is not None for output in outputs):
            return (
                f"A ReLU stands between the last convolution '{last_call.name}' and the average over positions, as in "
                f"SqueezeNet, so the logits are not a linear function of features; {_NEEDED}."
            )
        if _as_linear(last_call.module) is None:
            return (
                f"The last layer '{last_call.name}' is a convolution of {tuple(last_call.module.kernel_size)} pixels; "
                f"{_NEEDED}, or of a 1 x 1 convolution that is averaged over all positions."
            )
    if last_call.x.ndim not in (2, 4):
        return (
            f"The last linear layer '{last_call.name}' works on inputs of the shape {tuple(last_call.x.shape)}, one "
            "vector per image is needed; pool or flatten before the head."
        )
    return (
        f"The network's output is not that of its last linear layer '{last_call.name}' ({kind}) nor its softmax: the "
        f"network does something after it, or adds several heads; {_NEEDED}."
    )


def _module(network: nn.Module, name: str) -> nn.Module:
    if isinstance(network, torch.jit.ScriptModule):
        refuse_scripted(network)
    try:
        return network.get_submodule(name)
    except AttributeError:
        linear = [n for n, m in network.named_modules() if n and _as_linear(m) is not None]
        raise ConfigError(
            f"The network has no layer '{name}' that could be its head; its last linear layers are: "
            f"{', '.join(linear[-3:]) or 'none'}."
        ) from None


def _width(module: nn.Linear | nn.Conv2d) -> int:
    return module.out_features if isinstance(module, nn.Linear) else module.out_channels


def _as_linear(module: nn.Module) -> nn.Linear | None:
    """Return a layer as a linear layer, with two rows for a single output; None if it is not linear."""
    if isinstance(module, nn.Linear):
        return module if module.out_features > 1 else _two_rows(module)
    if not isinstance(module, nn.Conv2d):
        return None
    plain = (module.kernel_size, module.stride, module.padding, module.groups)
    if plain not in (((1, 1), (1, 1), (0, 0), 1), ((1, 1), (1, 1), "valid", 1), ((1, 1), (1, 1), "same", 1)):
        return None
    linear = nn.Linear(module.in_channels, module.out_channels, bias=module.bias is not None, device="meta")
    linear.weight = nn.Parameter(module.weight.detach().flatten(1), requires_grad=module.weight.requires_grad)
    if module.bias is not None:
        linear.bias = nn.Parameter(module.bias.detach(), requires_grad=module.bias.requires_grad)
    linear.train(module.training)
    return linear if linear.out_features > 1 else _two_rows(linear)


def _two_rows(head: nn.Linear) -> nn.Linear:
    """Turn a head with one logit s into a head with two logits, 0 and s."""
    linear = nn.Linear(head.in_features, 2, bias=head.bias is not None, device="meta")
    for name, value in head.named_parameters(recurse=False):
        both = torch.cat([torch.zeros_like(value), value]).detach()
        setattr(linear, name, nn.Parameter(both, requires_grad=value.requires_grad))
    return linear.train(head.training)


def _replaced(module: nn.Module, path: list[str], replacement: nn.Module) -> nn.Module:
    """Return a copy of ``module`` with another submodule at ``path``; everything else is shared."""
    if not path:
        return replacement
    clone = copy.copy(module)
    clone._modules = dict(module._modules)
    clone._modules[path[0]] = _replaced(module.get_submodule(path[0]), path[1:], replacement)
    return clone


def _without_softmax_behind(network: nn.Module, head: str) -> nn.Module:
    """Remove the softmax layers registered after the head: they never run, and heat-maps have no rule for them."""
    names = [name for name, _ in network.named_modules()]
    for name in names[names.index(head) + 1 :]:
        if isinstance(network.get_submodule(name), nn.Softmax | nn.LogSoftmax):
            network = _replaced(network, name.split("."), nn.Identity())
    return network
