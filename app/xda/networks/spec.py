"""The description of a run's network, from which it is built again with its preprocessing."""

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
"""Sources of an architecture; also the keys under which a configuration and a manifest name it."""


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """The description of a network, enough to build it again; stored with every run."""

    name: str
    """Name of the preset or the model; of a factory ``module:function``."""
    n_classes: int
    kind: NetworkKind = "preset"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the model, JSON values."""
    head: str = ""
    """Name of the last linear layer; empty: the last layer with parameters."""
    weights: str = ""
    """Name of the weights of the model's makers that a build starts from; empty: those of a checkpoint.

    A run holds its weights, so that whoever opens it does not look at this.
    """

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary, such as ``{"preset": "mnist-cnn", "n_classes": 10}``."""
        further = {"arguments": dict(self.arguments), "head": self.head, "weights": self.weights}
        return {self.kind: self.name, "n_classes": self.n_classes} | {k: v for k, v in further.items() if v}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the spec that ``to_dict`` described.

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
    """Return the network of a spec, with fresh weights from torch's global generator, which stays where it is.

    Raises
    ------
    ConfigError
        If the network is unknown, needs a package or module that is not there, cannot be made with its arguments, or
        the number of classes is below 2.
    """
    if spec.n_classes < 2:
        raise ConfigError(f"A classifier needs at least 2 classes, not {spec.n_classes}.")
    with kept_random_state():
        if spec.kind == "preset":
            return get_preset(spec.name).build(spec.n_classes)
        return uncompiled(build_foreign(spec.kind, spec.name, spec.n_classes, spec.arguments))


def uncompiled(network: nn.Module) -> nn.Module:
    """Return the network that ``torch.compile`` wrapped, whose layers can be taken apart; others as they are."""
    original = getattr(network, "_orig_mod", None)
    return original if isinstance(original, nn.Module) else network


def default_preprocessing(spec: NetworkSpec, network: nn.Module) -> Preprocessing | None:
    """Return the preprocessing that comes with a network; None where it comes with none.

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
