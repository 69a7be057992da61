"""Layer-wise relevance propagation through single layers: zennit's rules, with a forward pass shared by many seeds.

Which rule a layer gets and what that rule computes is zennit's (`zennit.composites`, `zennit.rules`). Only the way a
rule is run is ours, because zennit's hooks repeat the forward pass for every seed, run the ordinary backward pass
besides their own, and modify the weights anew in every call. Here a layer keeps its modified weights, replaces its
ordinary backward pass, and computes whatever depends on the activations alone once per *distinct* image: for a fixed
image, relevance is linear in what is put on the output.

All rules in use have the form R_in = x' * J^T(R_out / stabilised(z)), where x' is the modified input, J the layer with
modified weights and z = J x' (`zennit.core.BasicHook`); ``ZPlus`` sums two such terms.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.grad import conv2d_input
from zennit.core import BasicHook, Hook, ParamMod
from zennit.rules import Epsilon, Flat, Norm, Pass, ZPlus

Terms = tuple[torch.Tensor, ...]
"""What a layer keeps of its forward pass, one row per distinct image."""


class Sharing:
    """Which rows of the batch under way are the same image.

    Between the layers a batch has one row per seed, n, so that autograd finds the shapes that it expects; inside a
    layer it has one row per distinct image, m.
    """

    def __init__(self) -> None:
        self._rows: torch.Tensor | None = None
        self._first: torch.Tensor | None = None
        self._one = False

    @contextmanager
    def among(self, rows: torch.Tensor, first: torch.Tensor) -> Iterator[None]:
        """Say which distinct image each row shows, within the block.

        Parameters
        ----------
        rows : torch.Tensor
            int64, shape (n,): the distinct image, 0 .. m-1, of each row.
        first : torch.Tensor
            int64, shape (m,): a row that shows each distinct image.
        """
        if len(first) == 1:
            self._one = True
        elif not torch.equal(rows, torch.arange(len(first), device=rows.device)):
            self._rows, self._first = rows, first
        try:
            yield
        finally:
            self._rows = self._first = None
            self._one = False

    def distinct(self, x: torch.Tensor) -> torch.Tensor:
        """Return one row per distinct image: (n, ...) to (m, ...)."""
        if self._one:
            return x[:1]
        return x if self._first is None else x.index_select(0, self._first)

    def spread(self, x: torch.Tensor, n: int) -> torch.Tensor:
        """Return one row per seed: (m, ...) to (n, ...)."""
        if self._one:
            return x.expand(n, *x.shape[1:])
        return x if self._rows is None else x.index_select(0, self._rows)


class PassLayer:
    """A layer that relevance passes unchanged (rule ``Pass``): activations, merged batch norms."""

    def __init__(self, module: nn.Module) -> None:
        self._module = copy.copy(module)
        if getattr(module, "inplace", False):
            # the layer before keeps its output, our input
            self._module.inplace = False  # type: ignore[assignment]

    def run(self, x: torch.Tensor) -> tuple[torch.Tensor, Terms]:
        """Return the layer's ordinary output for inputs x, (m, ...), and what ``propagate`` will need of it."""
        return self._module(x), ()

    def propagate(self, terms: Terms, relevance: torch.Tensor) -> torch.Tensor:
        """Return the relevance of the inputs.

        Parameters
        ----------
        terms : Terms
            From ``run``, one row per seed or, where all seeds are on one image, one row.
        relevance : torch.Tensor
            Of the outputs, shape (n, ...).

        Returns
        -------
        torch.Tensor
            Shape (n, ...).
        """
        return relevance


class RuleLayer(PassLayer):
    """A layer under a rule of one term: ``Norm`` and, in a subclass, ``Epsilon``."""

    def __init__(self, module: nn.Module, hook: BasicHook) -> None:
        super().__init__(module)
        self._hook = hook
        self._modified = [_modified(module, modifier) for modifier in hook.param_modifiers]

    def run(self, x: torch.Tensor) -> tuple[torch.Tensor, Terms]:
        """Return the ordinary output and the terms; see ``PassLayer.run``."""
        z = self._modified[0](x)
        return z, (x, self._inverse(z))

    def propagate(self, terms: Terms, relevance: torch.Tensor) -> torch.Tensor:
        """Return the relevance of the inputs; see ``PassLayer.propagate``."""
        x, inverse = terms
        return x * _transposed(self._modified[0], x, relevance * inverse)

    def _inverse(self, *z: torch.Tensor) -> torch.Tensor:
        """Return 1 / stabilised(sum of z), by the rule's own mapper."""
        gradients = self._hook.gradient_mapper(torch.ones((), dtype=z[0].dtype, device=z[0].device), list(z))
        inverse: torch.Tensor = gradients if isinstance(gradients, torch.Tensor) else gradients[0]
        return inverse


class EpsilonLayer(RuleLayer):
    """A linear layer under rule ``Epsilon``: the rule's z is the output without the bias."""

    def run(self, x: torch.Tensor) -> tuple[torch.Tensor, Terms]:
        """Return the ordinary output and the terms; see ``PassLayer.run``."""
        z, terms = super().run(x)
        return (z if self._module.bias is None else z + self._module.bias), terms  # type: ignore[operator]


class ZPlusLayer(RuleLayer):
    """Rule ``ZPlus``: its term of negative inputs is exactly zero after a ReLU, and then left out."""

    def run(self, x: torch.Tensor) -> tuple[torch.Tensor, Terms]:
        """Return the ordinary output and the terms; see ``PassLayer.run``."""
        if bool(x.amin() >= 0):
            return self._module(x), (x, self._inverse(self._modified[0](x)))
        inputs = [modifier(x) for modifier in self._hook.input_modifiers]
        z = [module(value) for module, value in zip(self._modified, inputs, strict=True)]
        return self._module(x), (inputs[0], self._inverse(*z), inputs[1])

    def propagate(self, terms: Terms, relevance: torch.Tensor) -> torch.Tensor:
        """Return the relevance of the inputs; see ``PassLayer.propagate``."""
        x, inverse, *negative = terms
        gradient = relevance * inverse
        relevance_in = x * _transposed(self._modified[0], x, gradient)
        for part in negative:
            relevance_in = relevance_in + part * _transposed(self._modified[1], part, gradient)
        return relevance_in


class FlatLayer(RuleLayer):
    """Rule ``Flat``: inputs and weights are all ones, so one row stands for all images."""

    def run(self, x: torch.Tensor) -> tuple[torch.Tensor, Terms]:
        """Return the ordinary output and the terms; see ``PassLayer.run``."""
        return self._module(x), (x,)

    def propagate(self, terms: Terms, relevance: torch.Tensor) -> torch.Tensor:
        """Return the relevance of the inputs; see ``PassLayer.propagate``."""
        ones = torch.ones_like(terms[0][:1])
        return _transposed(self._modified[0], ones, relevance * self._inverse(self._modified[0](ones)))


def ruled_layer(module: nn.Module, hook: Hook) -> PassLayer:
    """Return the layer that runs a module under the rule of a zennit hook.

    Parameters
    ----------
    module : nn.Module
        Its weights must not change any more.
    hook : zennit.core.Hook
        One of ``Pass``, ``Epsilon`` (on linear layers), ``ZPlus``, ``Flat``, ``Norm``.

    Raises
    ------
    TypeError
        If the hook is another one.
    """
    if isinstance(hook, Pass):
        return PassLayer(module)
    if isinstance(hook, ZPlus):
        return ZPlusLayer(module, hook)
    if isinstance(hook, Flat):
        return FlatLayer(module, hook)
    if isinstance(hook, Epsilon) and isinstance(module, nn.Linear):
        return EpsilonLayer(module, hook)
    if isinstance(hook, Norm):
        return RuleLayer(module, hook)
    raise TypeError(
        f"the rule {type(hook).__name__} cannot be run on {type(module).__name__} with a shared forward pass"
    )


def attach(module: nn.Module, layer: PassLayer, sharing: Sharing) -> None:
    """Make ``module`` compute through ``layer``, in place: the module must be a private copy."""

    def forward(x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = _Propagation.apply(x, layer, sharing)
        return output

    module.forward = forward


class _Propagation(torch.autograd.Function):
    """A layer whose backward pass propagates relevance instead of a gradient."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: PassLayer, sharing: Sharing) -> torch.Tensor:
        output, terms = layer.run(sharing.distinct(x))
        ctx.layer, ctx.sharing = layer, sharing
        ctx.save_for_backward(*terms)
        return sharing.spread(output, len(x))

    @staticmethod
    def backward(ctx: Any, *relevance: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        n = len(relevance[0])
        terms = tuple(ctx.sharing.spread(term, n) for term in ctx.saved_tensors)
        return ctx.layer.propagate(terms, relevance[0]), None, None


def _modified(module: nn.Module, modifier: Any) -> nn.Module:
    """Return a copy of the module with the weights that a zennit modifier makes, shared where it changes none."""
    with ParamMod.ensure(modifier)(module) as changed:
        clone: nn.Module = copy.copy(changed)
        clone._parameters = {
            name: None if value is None else nn.Parameter(value.detach(), requires_grad=False)
            for name, value in changed._parameters.items()
        }
    return clone


def _transposed(module: nn.Module, x: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Return the vector-Jacobian product of a module that is linear in its input, up to a constant.

    Parameters
    ----------
    module : nn.Module
    x : torch.Tensor
        Tells the shape of the input, (any, ...); its values do not matter to a linear module.
    gradient : torch.Tensor
        At the outputs, shape (n, ...).

    Returns
    -------
    torch.Tensor
        Shape (n, ...).
    """
    shape = (len(gradient), *x.shape[1:])
    if type(module) is nn.Linear:
        return gradient @ module.weight
    if type(module) is nn.Conv2d and module.padding_mode == "zeros" and not isinstance(module.padding, str):
        pulled: torch.Tensor = conv2d_input(  # type: ignore[no-untyped-call]
            shape, module.weight, gradient, module.stride, module.padding, module.dilation, module.groups
        )
        return pulled
    point = x[:1].expand(shape).detach().requires_grad_()
    with torch.enable_grad():
        output = module(point)
    (pulled,) = torch.autograd.grad(output, point, gradient)
    return pulled
