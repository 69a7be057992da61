"""Describes a run's network, and builds the network and its preprocessing from the description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self, get_args

from torch import nn

from xda.data.preprocessing import Preprocessing
from xda.errors import ConfigError
from xda.networks.presets import get_preset
from xda.networks.random_state import kept_random_state
from xda.networks.zoo import build_foreign, own_preprocessing

NetworkKind = Literal["preset", "torchvision", "timm", "factory"]
"""Sources of an architecture; configuration and manifest use them as keys."""


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """The description of a network, enough to build it again; stored with every run."""

    name: str
    """Name of the preset or model; ``module:function`` for a factory."""
    n_classes: int
    kind: NetworkKind = "preset"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the model, JSON values."""
    head: str = ""
    """Name of the last linear layer; empty means the last layer with parameters."""
    weights: str = ""
    """Name of the makers' weights for a build; empty if a checkpoint gives the weights.

    A run holds its own weights, so this is not used when the run is opened.
    """

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary; example: ``{"preset": "mnist-cnn", "n_classes": 10}``."""
        further = {"arguments": dict(self.arguments), "head": self.head, "weights": self.weights}
        return {self.kind: self.name, "n_classes": self.n_classes} | {k: v for k, v in further.items() if v}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the spec from a dictionary of ``to_dict``.

        Raises
        ------
        ConfigError
            If keys are missing or values are of another kind.
        """
        kinds = [kind for kind in get_args(NetworkKind) if kind in values]
        try:
            (kind,) = kinds
            return cls(
                name=str(values[kind]),
                n_classes=int(values["n_classes"]),
                kind=kind,
                arguments=dict(values.get("arguments", {})),
                head=str(values.get("head", "")),
                weights=str(values.get("weights", "")),
            )
        except (KeyError, TypeError, ValueError) as error:
            known = ", ".join(get_args(NetworkKind))
            raise ConfigError(f"The network cannot be read ({error}); it needs n_classes and one of {known}.") from None


def build_network(spec: NetworkSpec) -> nn.Module:
    """Return the network of a spec with fresh weights; torch's global generator keeps its state.

    Raises
    ------
    ConfigError
        The network is unknown, needs a missing package or module or cannot be made with its arguments, or there are
        fewer than 2 classes.
    """
    if spec.n_classes < 2:
        raise ConfigError(f"A classifier needs at least 2 classes, not {spec.n_classes}.")
    with kept_random_state():
        if spec.kind == "preset":
            return get_preset(spec.name).build(spec.n_classes)
        return uncompiled(build_foreign(spec.kind, spec.name, spec.n_classes, spec.arguments))


def uncompiled(network: nn.Module) -> nn.Module:
    """Return the network inside a wrapper of ``torch.compile``; other networks unchanged."""
    original = getattr(network, "_orig_mod", None)
    return original if isinstance(original, nn.Module) else network


def default_preprocessing(spec: NetworkSpec, network: nn.Module) -> Preprocessing | None:
    """Return the preprocessing that comes with a network; None if it has none.

    Parameters
    ----------
    spec : NetworkSpec
    network : nn.Module
        Built from the spec.

    Raises
    ------
    ConfigError
        If the model's own transform has steps that the product does not know.
    """
    if spec.kind == "preset":
        return get_preset(spec.name).preprocessing
    return own_preprocessing(spec.kind, spec.name, network, spec.weights)
