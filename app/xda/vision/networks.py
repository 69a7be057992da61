"""Networks: the presets with their training recipes, the split into feature extractor and head, weights on disk.

A classifier is f(x) = V phi(x) + v (method section 1): ``split_head`` takes it apart into phi, everything before the
last linear layer, and that layer.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import safetensors
import safetensors.torch
import torch
from torch import nn

from xda.errors import ConfigError, DataError
from xda.vision.files import replacing
from xda.vision.preprocessing import Preprocessing

_HEADER = "xda"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a preset is trained: AdamW with a one-cycle learning rate."""

    epochs: int
    batch_size: int
    peak_lr: float
    weight_decay: float
    warm_up: float
    """Share of the steps in which the learning rate rises."""
    crop_padding: int
    """Zero padding in pixels for random crops; 0: no cropping."""
    flip: bool
    """Whether images are mirrored at random."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A network that the product can train by itself."""

    name: str
    title: str
    dataset: str
    build: Callable[[int], nn.Module]
    preprocessing: Preprocessing
    recipe: Recipe


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """What is needed to build a network again; stored with every run."""

    preset: str
    n_classes: int

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {"preset": self.preset, "n_classes": self.n_classes}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the spec that ``to_dict`` described.

        Raises
        ------
        ConfigError
            If keys are missing or values are of another kind.
        """
        try:
            return cls(preset=str(values["preset"]), n_classes=int(values["n_classes"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"The network cannot be read ({error}); it needs preset and n_classes.") from None


def get_preset(name: str) -> Preset:
    """Return a preset by its name.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    if name not in PRESETS:
        raise ConfigError(f"There is no network preset '{name}'; known are: {', '.join(PRESETS)}.")
    return PRESETS[name]


def build_network(spec: NetworkSpec) -> nn.Module:
    """Return the network of a spec, with fresh weights from torch's global generator.

    Raises
    ------
    ConfigError
        If the preset is unknown or the number of classes is below 2.
    """
    if spec.n_classes < 2:
        raise ConfigError(f"A classifier needs at least 2 classes, not {spec.n_classes}.")
    return get_preset(spec.preset).build(spec.n_classes)


def split_head(network: nn.Module) -> tuple[nn.Module, nn.Linear]:
    """Take a classifier apart into feature extractor and head.

    Parameters
    ----------
    network : nn.Module
        Left as it is; the returned modules share its parameters.

    Returns
    -------
    feature_extractor : nn.Module
        The network with an identity in place of its last linear layer, so that its output is phi(x), shape (B, d).
    head : nn.Linear
        The last linear layer, from d to K.

    Raises
    ------
    ConfigError
        If the last layer with parameters is not linear.
    """
    with_parameters = [
        name for name, module in network.named_modules() if any(True for _ in module.parameters(recurse=False))
    ]
    name = with_parameters[-1] if with_parameters else ""
    head = network.get_submodule(name)
    if not name or not isinstance(head, nn.Linear):
        raise ConfigError(
            f"The last layer of the network must be linear (torch.nn.Linear), but '{name or 'the network'}' is "
            f"{type(head).__name__}; attribution needs a linear head."
        )
    return _replaced(network, name.split("."), nn.Identity()), head


def _replaced(module: nn.Module, path: list[str], replacement: nn.Module) -> nn.Module:
    """Return a copy of ``module`` with another submodule at ``path``; all else is shared."""
    if not path:
        return replacement
    clone = copy.copy(module)
    clone._modules = dict(module._modules)
    clone._modules[path[0]] = _replaced(module.get_submodule(path[0]), path[1:], replacement)
    return clone


def save_weights(network: nn.Module, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write the state of a network as safetensors; the file appears whole or not at all.

    Parameters
    ----------
    network : nn.Module
    path : Path
    metadata : mapping of str to str, optional
        Kept in the header of the file; see ``read_metadata``.
    """
    with replacing(path) as file:
        file.write(pack(network.state_dict(), metadata or {}))


def load_weights(network: nn.Module, path: Path) -> None:
    """Fill a network with the weights of a safetensors file.

    Raises
    ------
    DataError
        If the file is absent, unreadable, or has other names or shapes than the network.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"The weights {path} are missing; train the network or name another file.") from None
    except OSError as error:
        raise DataError(f"The weights {path} cannot be read ({error}); check the file.") from None
    fill_weights(network, content, str(path))


def fill_weights(network: nn.Module, content: bytes, path: str) -> None:
    """Fill a network with weights from the bytes of a safetensors file.

    Parameters
    ----------
    network : nn.Module
    content : bytes
    path : str
        Where they come from, for messages.

    Raises
    ------
    DataError
        If the bytes are no safetensors, or have other names or shapes than the network.
    """
    try:
        tensors = safetensors.torch.load(content)
    except (safetensors.SafetensorError, ValueError) as error:
        raise DataError(f"The weights {path} cannot be read as safetensors ({error}); make them anew.") from None
    expected = network.state_dict()
    missing, unexpected = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    shapes = sorted(name for name in expected.keys() & tensors.keys() if expected[name].shape != tensors[name].shape)
    if missing or unexpected or shapes:
        first = (missing + unexpected + shapes)[0]
        raise DataError(
            f"The weights {path} do not belong to this network: {len(missing)} tensor(s) missing, {len(unexpected)} "
            f"unexpected, {len(shapes)} of another shape (first: '{first}'); name the file made for this network."
        )
    network.load_state_dict(tensors)


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata that ``save_weights`` put into a file; empty where there is no such file."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            values = json.loads((file.metadata() or {}).get(_HEADER, "{}"))
    except (safetensors.SafetensorError, OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in values.items()} if isinstance(values, dict) else {}


def pack(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return tensors and metadata as safetensors; equal content gives equal bytes."""
    on_cpu = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    # one entry: the library writes several in random order
    return safetensors.torch.save(on_cpu, {_HEADER: json.dumps(dict(metadata), sort_keys=True)})


def _mnist_cnn(n_classes: int) -> nn.Module:
    """Build the paper's network for MNIST (method section 5)."""
    return nn.Sequential(
        nn.Conv2d(1, 5, 3),
        nn.ReLU(),
        nn.Conv2d(5, 10, 3),
        nn.ReLU(),
        nn.Conv2d(10, 5, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(5 * 22 * 22, 500),
        nn.ReLU(),
        nn.Linear(500, 100),
        nn.ReLU(),
        nn.Linear(100, n_classes),
    )


def _cifar_resnet18(n_classes: int) -> nn.Module:
    """Build torchvision's ResNet-18 with a first convolution for 32 x 32 images (method section 5)."""
    from torchvision.models import resnet18

    network: nn.Module = resnet18(num_classes=n_classes)
    network.conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
    return network


PRESETS: Mapping[str, Preset] = {
    "mnist-cnn": Preset(
        name="mnist-cnn",
        title="MNIST · CNN of the DualXDA paper",
        dataset="mnist",
        build=_mnist_cnn,
        preprocessing=Preprocessing(mode="L", size=(28, 28), mean=(0.1307,), std=(0.3081,)),
        recipe=Recipe(
            epochs=4, batch_size=128, peak_lr=2e-3, weight_decay=0.01, warm_up=0.2, crop_padding=0, flip=False
        ),
    ),
    "cifar10-resnet18": Preset(
        name="cifar10-resnet18",
        title="CIFAR-10 · ResNet-18",
        dataset="cifar10",
        build=_cifar_resnet18,
        preprocessing=Preprocessing(
            mode="RGB", size=(32, 32), mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)
        ),
        recipe=Recipe(
            epochs=18, batch_size=128, peak_lr=2e-3, weight_decay=0.05, warm_up=0.3, crop_padding=4, flip=True
        ),
    ),
}
"""All presets by name."""
