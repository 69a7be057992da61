"""Layer-wise relevance propagation through single operations: a forward pass per image, a backward pass per seed.

zennit chooses and defines the rules (`zennit.composites`, `zennit.rules`). This module runs them itself, because
zennit's hooks repeat the forward pass for every seed, run the ordinary backward pass besides their own, and modify the
weights anew in every call. Here a layer keeps its modified weights and computes the terms that depend on the
activations alone once per image: for a fixed image, relevance is linear in the relevance of the output.

The rules of layers with weights have the form R_in = x' * J^T(R_out / stabilised(z)), where x' is the modified input,
J the layer with modified weights and z = J x' (`zennit.core.BasicHook`); ``ZPlus`` sums two such terms.

Networks with grouped convolutions need one rule of our own, ``ZPlusFlat``. An output of such a layer sees few channels,
a single one in a depthwise convolution, and often only its bias makes it active. The pointwise convolutions between
them see one position, often with few channels; without an activation behind it, an output may be negative because all
its inputs speak against it. ``ZPlus`` finds no input that speaks for such an output and drops its relevance: in the
depthwise convolutions of a trained EfficientNet-lite0, 95 % of all relevance.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.grad import conv2d_input
from zennit.core import BasicHook, Hook, ParamMod, Stabilizer
from zennit.rules import ClampMod, Epsilon, Flat, ZPlus

Terms = tuple[torch.Tensor, ...]
"""Values of its forward pass that an operation keeps, one row per image."""

_EPSILON = 1e-6
"""The value that zennit's rules add to denominators by default."""

Function = Callable[[torch.Tensor], torch.Tensor]


class ZPlusFlat(BasicHook):  # type: ignore[misc]
    """Rule ``ZPlus``, with the relevance that its stabiliser takes spread evenly over an output's inputs.

    R_j = sum_k ((a_j w_kj)^+ / s_k + (1 - z_k / s_k) [k sees j] / n_k) R_k with z_k = sum_j (a_j w_kj)^+, s_k the
    stabilised z_k, and n_k the number of inputs that k sees. It is ``ZPlus`` where z_k is well above the stabiliser,
    and ``Flat`` where nothing speaks for k. The code stabilises n_k too, so it agrees with this equation to 1e-6.
    """

    def __init__(self, stabilizer: float = 1e-6) -> None:
        stabilize = Stabilizer.ensure(stabilizer)

        def shares(relevance: torch.Tensor, outputs: list[torch.Tensor]) -> list[torch.Tensor]:
            z = outputs[0] + outputs[1]
            stable = stabilize(z)
            return [relevance / stable] * 2 + [relevance * (1 - z / stable) / stabilize(outputs[2])]

        super().__init__(
            input_modifiers=[lambda x: x.clamp(min=0), lambda x: x.clamp(max=0), torch.ones_like],
            param_modifiers=[
                ClampMod(min=0.0, zero_params="bias"),
                ClampMod(max=0.0, zero_params="bias"),
                ParamMod(lambda parameter, _: torch.ones_like(parameter), zero_params="bias"),
            ],
            output_modifiers=[lambda z: z] * 3,
            gradient_mapper=shares,
            reducer=lambda inputs, gradients: inputs[0] * gradients[0] + inputs[1] * gradients[1] + gradients[2],
        )


class Layer:
    """An operation on one or several tensors; the base class passes relevance unchanged (rule ``Pass``)."""

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        self._function = function

    def run(self, *x: torch.Tensor) -> tuple[torch.Tensor, Terms]:
        """Return the ordinary output for inputs (m, ...), and the values that ``propagate`` needs."""
        return self._function(*x), ()

    def propagate(self, terms: Terms, relevance: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return the relevance of the inputs.

        Parameters
        ----------
        terms : Terms
            From ``run``, one row per seed.
        relevance : torch.Tensor
            Of the outputs, shape (n, ...).

        Returns
        -------
        sequence of torch.Tensor
            One for each input, shape (n, ...).
        """
        return (relevance,)


class GateLayer(Layer):
    """A product of a signal and a gate: the signal gets all relevance, the gate counts as a constant.

    The rule for gates of Arras et al. 2019, "Explaining and interpreting LSTMs" (LRP-all).
    """


class ReshapeLayer(Layer):
    """An operation that keeps every value of an image and their order, such as flatten."""

    def __init__(self, shape: Sequence[int]) -> None:
        self._shape = shape[1:]

    def run(self, *x: torch.Tensor) -> tuple[torch.Tensor, Terms]:
        """Return the ordinary output and the terms; see ``Layer.run``."""
        return x[0].reshape(len(x[0]), *self._shape), x

    def propagate(self, terms: Terms, relevance: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return the relevance of the inputs; see ``Layer.propagate``."""
        return (relevance.reshape(len(relevance), *terms[0].shape[1:]),)


class SelectLayer(Layer):
    """An operation, like max pooling, whose output values are each an input value or zero."""

    def run(self, *x: torch.Tensor) -> tuple[torch.Tensor, Terms]:
        """Return the ordinary output and the terms; see ``Layer.run``."""
        return self._function(*x), x

    def propagate(self, terms: Terms, relevance: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return the relevance of the inputs; see ``Layer.propagate``."""
        return (_pulled(self._function, terms[0], relevance),)


class MaxPoolLayer(Layer):
    """``torch.nn.MaxPool2d``; finds the maxima once per image."""

    def __init__(self, module: nn.MaxPool2d) -> None:
        stride = module.kernel_size if module.stride is None else module.stride
        self._options = [
            [value, value] if isinstance(value, int) else list(value)
            for value in (module.kernel_size, stride, module.padding, module.dilation)
        ]
        self._ceil = module.ceil_mode

    def run(self, *x: torch.Tensor) -> tuple[torch.Tensor, Terms]:
        """Return the ordinary output and the terms; see ``Layer.run``."""
        output, indices = torch.ops.aten.max_pool2d_with_indices(x[0], *self._options, self._ceil)
        return output, (x[0], indices)

    def propagate(self, terms: Terms, relevance: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return the relevance of the inputs; see ``Layer.propagate``."""
        backward = torch.ops.aten.max_pool2d_with_indices_backward
        return (backward(relevance, terms[0], *self._options, self._ceil, terms[1]),)


class ConcatenateLayer(Layer):
    """Concatenation along any axis except the images' axis."""

    def __init__(self, axis: int) -> None:
        self._axis = axis

    def run(self, *x: torch.Tensor) -> tuple[torch.Tensor, Terms]:
        """Return the ordinary output and the terms; see ``Layer.run``."""
        return torch.cat(x, self._axis), x

    def propagate(self, terms: Terms, relevance: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return the relevance of the inputs; see ``Layer.propagate``."""
        return torch.split(relevance, [term.shape[self._axis] for term in terms], self._axis)


class NormLayer(Layer):
    """A linear operation without weights (average pooling, for example) under rule ``Norm``."""

    def run(self, *x: torch.Tensor) -> tuple[torch.Tensor, Terms]:
        """Return the ordinary output and the terms; see ``Layer.run``."""
        z = self._function(*x)
        return z, (*x, _inverse(z))

    def propagate(self, terms: Terms, relevance: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return the relevance of the inputs; see ``Layer.propagate``."""
        x, inverse = terms
        return (x * _pulled(self._function, x, relevance * inverse),)


class SumLayer(NormLayer):
    """The sum of two branches under rule ``Norm``: each gets relevance in proportion to its share of the sum."""

    def propagate(self, terms: Terms, relevance: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return the relevance of the inputs; see ``Layer.propagate``."""
        first, second, inverse = terms
        share = relevance * inverse
        return first * share, second * share


class EpsilonLayer(Layer):
    """A layer with weights under rule ``Epsilon``."""

    def __init__(self, module: nn.Module, hook: BasicHook) -> None:
        self._module = module
        self._hook = hook
        self._modified = [_modified(module, modifier) for modifier in hook.param_modifiers]

    def run(self, *x: torch.Tensor) -> tuple[torch.Tensor, Terms]:
        """Return the ordinary output and the terms; see ``Layer.run``."""
        z = self._modified[0](*x)
        if not isinstance(self._module, nn.Linear):
            return self._module(*x), (*x, _inverse(z))
        # z is the output without the bias
        bias = self._module.bias
        return (z if bias is None else z + bias), (*x, _inverse(z))

    def propagate(self, terms: Terms, relevance: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return the relevance of the inputs; see ``Layer.propagate``."""
        x, inverse = terms
        return (_pulled(self._modified[0], x, relevance * inverse).mul_(x),)


class ZPlusLayer(EpsilonLayer):
    """Rule ``ZPlus``; after a ReLU its term for negative inputs is zero and is skipped."""

    def run(self, *x: torch.Tensor) -> tuple[torch.Tensor, Terms]:
        """Return the ordinary output and the terms; see ``Layer.run``."""
        if bool(x[0].amin() >= 0):
            # z is never negative
            return self._module(*x), (*x, self._modified[0](*x).add_(_EPSILON).reciprocal_())
        inputs = [modifier(*x) for modifier in self._hook.input_modifiers]
        z = [module(value) for module, value in zip(self._modified, inputs, strict=True)]
        return self._module(*x), (inputs[0], _inverse(z[0] + z[1]), inputs[1])

    def propagate(self, terms: Terms, relevance: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return the relevance of the inputs; see ``Layer.propagate``."""
        x, inverse, *negative = terms
        gradient = relevance * inverse
        relevance_in = _pulled(self._modified[0], x, gradient).mul_(x)
        for part in negative:
            relevance_in += _pulled(self._modified[1], part, gradient).mul_(part)
        return (relevance_in,)


class ZPlusFlatLayer(EpsilonLayer):
    """Rule ``ZPlusFlat``; without negative inputs, their term is skipped.

    The evenly spread part is the same for all channels of a group, so it is computed for one channel.
    """

    def __init__(self, module: nn.Module, hook: BasicHook) -> None:
        super().__init__(module, hook)
        ones: Any = self._modified[2]
        self._groups: int = ones.groups
        self._one_channel = copy.copy(ones)
        self._one_channel.in_channels = self._one_channel.out_channels = ones.groups
        weight = nn.Parameter(ones.weight[: ones.groups, :1], requires_grad=False)
        self._one_channel._parameters = {"weight": weight, "bias": None}

    def run(self, *x: torch.Tensor) -> tuple[torch.Tensor, Terms]:
        """Return the ordinary output and the terms; see ``Layer.run``."""
        (whole,) = x
        modifiers = self._hook.input_modifiers
        inputs = [whole] if bool(whole.amin() >= 0) else [modifiers[0](whole), modifiers[1](whole)]
        z = [module(part) for module, part in zip(self._modified, inputs, strict=False)]
        seen = self._modified[2](torch.ones_like(whole[:1]))
        one, zero = seen.new_ones(()), seen.new_zeros(())
        share, _, rest = self._hook.gradient_mapper(one, [z[0], z[1] if len(z) > 1 else zero, seen])
        return self._module(whole), (share, rest, *inputs)

    def propagate(self, terms: Terms, relevance: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return the relevance of the inputs; see ``Layer.propagate``."""
        share, rest, *inputs = terms
        gradient = relevance * share
        relevance_in = _pulled(self._modified[0], inputs[0], gradient).mul_(inputs[0])
        for part in inputs[1:]:
            relevance_in += _pulled(self._modified[1], part, gradient).mul_(part)
        n, _, *places = relevance.shape
        even = (relevance * rest).reshape(n, self._groups, -1, *places).sum(dim=2)
        pulled = _pulled(self._one_channel, inputs[0][:, : self._groups], even)
        relevance_in.view(n, self._groups, -1, *relevance_in.shape[2:]).add_(pulled.unsqueeze(2))
        return (relevance_in,)


class FlatLayer(EpsilonLayer):
    """Rule ``Flat``: inputs and weights are all ones, so one row stands for all images."""

    def run(self, *x: torch.Tensor) -> tuple[torch.Tensor, Terms]:
        """Return the ordinary output and the terms; see ``Layer.run``."""
        return self._module(*x), x

    def propagate(self, terms: Terms, relevance: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return the relevance of the inputs; see ``Layer.propagate``."""
        ones = torch.ones_like(terms[0][:1])
        return (_pulled(self._modified[0], ones, relevance * _inverse(self._modified[0](ones))),)


def ruled_layer(module: nn.Module, hook: Hook) -> Layer:
    """Return the layer that runs a module under the rule of a zennit hook.

    Parameters
    ----------
    module : nn.Module
        Its weights must not change any more.
    hook : zennit.core.Hook
        One of ``Epsilon``, ``ZPlus``, ``ZPlusFlat``, ``Flat``.

    Raises
    ------
    TypeError
        If the hook is another one.
    """
    kinds = {Epsilon: EpsilonLayer, ZPlus: ZPlusLayer, ZPlusFlat: ZPlusFlatLayer, Flat: FlatLayer}
    if type(hook) not in kinds:
        raise TypeError(
            f"the rule {type(hook).__name__} cannot be run on {type(module).__name__} with a shared forward pass"
        )
    return kinds[type(hook)](module, hook)


def _inverse(z: torch.Tensor) -> torch.Tensor:
    """Return 1 / stabilised(z): zennit's stabiliser in three passes over memory instead of eight."""
    return torch.copysign(z.new_full((), _EPSILON), z).add_(z).reciprocal_()


def _modified(module: nn.Module, modifier: Any) -> nn.Module:
    """Return a copy of the module with weights changed by a zennit modifier; unchanged weights are shared."""
    with ParamMod.ensure(modifier)(module) as changed:
        clone: nn.Module = copy.copy(changed)
        clone._parameters = {
            name: None if value is None else nn.Parameter(value.detach(), requires_grad=False)
            for name, value in changed._parameters.items()
        }
    return clone


def _pulled(function: Function, x: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Return the vector-Jacobian product of a function at x.

    Parameters
    ----------
    function : callable
    x : torch.Tensor
        Shape (n, ...), or (1, ...) for all; where the function is linear, only its shape matters.
    gradient : torch.Tensor
        At the outputs, shape (n, ...).

    Returns
    -------
    torch.Tensor
        Shape (n, ...).
    """
    shape = (len(gradient), *x.shape[1:])
    if type(function) is nn.Linear:
        return gradient @ function.weight
    if type(function) is nn.Conv2d and function.padding_mode == "zeros" and not isinstance(function.padding, str):
        pulled: torch.Tensor = conv2d_input(  # type: ignore[no-untyped-call]
            shape, function.weight, gradient, function.stride, function.padding, function.dilation, function.groups
        )
        return pulled
    point = x.expand(shape).detach().requires_grad_()
    with torch.enable_grad():
        output = function(point)
    (pulled,) = torch.autograd.grad(output, point, gradient)
    return pulled
