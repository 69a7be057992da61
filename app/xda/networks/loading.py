"""Loads a network with weights, head and preprocessing: from a checkpoint for a build, later from the run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from xda.data.preprocessing import NEEDED, Preprocessing
from xda.errors import ConfigError, DataError
from xda.networks.checkpoints import fill_weights, load_weights, pack
from xda.networks.heads import Classifier, check_head, find_head, head_name, split_head, without_name
from xda.networks.kept_code import importable
from xda.networks.outputs import remark, tensors
from xda.networks.pretrained import choose_weights, fill_pretrained
from xda.networks.spec import NetworkSpec, build_network, default_preprocessing
from xda.plugins import refuse_unnamed

_SPARE_BYTES = 1 << 26
"""A network may allocate so many bytes beside its weights while it is made."""
_MAKERS = frozenset({torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.eye})
"""Functions that allocate the tensors of layers; all others compute from existing tensors."""


@dataclass(frozen=True, slots=True)
class LoadedNetwork:
    """The parts of a network that a run keeps."""

    spec: NetworkSpec
    """Names the head if it can only be found by running the network."""
    preprocessing: Preprocessing
    classifier: nn.Module
    """In eval mode."""
    remark: str = ""
    """A sentence about steps after the head or further outputs; empty if there are none."""

    def weights(self) -> bytes:
        """Return the weights as safetensors, for ``open_network``."""
        return pack(without_name(self.classifier).state_dict(), {})

    def own_preprocessing(self) -> Preprocessing | None:
        """Return the makers' transform as a preprocessing; None if there is none or it has unknown steps."""
        try:
            return default_preprocessing(self.spec, without_name(self.classifier))
        except ConfigError:
            return None

    @property
    def head(self) -> str:
        """Name of the last linear layer."""
        return head_name(self.classifier)

    @property
    def n_features(self) -> int:
        """Number of features, d."""
        return split_head(self.classifier)[1].in_features

    @property
    def n_parameters(self) -> int:
        """Number of weights."""
        return sum(value.numel() for value in self.classifier.parameters())


def load_network(spec: NetworkSpec, checkpoint: Path | None, preprocessing: Mapping[str, Any]) -> LoadedNetwork:
    """Build a network, fill it with weights and find its head and its preprocessing.

    Parameters
    ----------
    spec : NetworkSpec
        If it names no head, the head is searched. If it names weights of torchvision or timm, they are used, and
        downloaded unless they were before.
    checkpoint : Path, optional
        None: the network brings its weights, as factories may.
    preprocessing : mapping
        Fields of ``Preprocessing`` that replace fields of the model's own transform.

    Raises
    ------
    ConfigError
        If the network cannot be made, has no linear head, or comes without a preprocessing and not all of it is given.
    DataError
        The checkpoint is absent, holds other objects than tensors, is not finite or belongs to another network; or the
        weights cannot be downloaded.
    """
    if spec.weights:
        chosen_weights = choose_weights(spec.kind, spec.name, spec.weights, spec.n_classes)
        arguments = {**chosen_weights.arguments, **spec.arguments}
        spec = replace(spec, weights=chosen_weights.name, arguments=arguments)
    network = build_network(spec).float()
    if spec.weights:
        given = {"num_classes": spec.n_classes, **spec.arguments}
        fill_pretrained(network, spec.kind, spec.name, spec.weights, given)
    if checkpoint is not None:
        load_weights(network, checkpoint)
        _refuse_broken(network, checkpoint)
    network.eval()
    chosen = _preprocessing(spec, network, preprocessing)
    if spec.kind == "preset":
        return LoadedNetwork(spec, chosen, _named(network, spec.head))
    # a fixed seed, so that the choice of the head does not depend on chance
    noise = torch.randn((2, chosen.channels, *chosen.size), generator=torch.Generator().manual_seed(0))
    try:
        if spec.head:
            _check_named(Classifier(network, spec.head), noise, spec.n_classes)
        head = spec.head or find_head(network, noise, spec.n_classes)
        said = _remark(Classifier(network, head), noise, chosen=bool(spec.head))
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        raise ConfigError(
            f"The network cannot take images of {chosen.channels} × {chosen.size[0]} × {chosen.size[1]} "
            f"({type(error).__name__}: {str(error)[:200]}); correct [network.preprocessing]."
        ) from None
    return LoadedNetwork(replace(spec, head=head), chosen, _named(network, head), said)


def open_network(
    spec: NetworkSpec,
    weights: bytes,
    where: str,
    allow_factory: Sequence[str] = (),
    code: Mapping[str, bytes] = MappingProxyType({}),
) -> nn.Module:
    """Return the network of a run, which need not be trusted.

    Parameters
    ----------
    spec : NetworkSpec
    weights : bytes
        From ``LoadedNetwork.weights``.
    where : str
        Path of their file, for messages.
    allow_factory : sequence of str
        Modules, or packages with all of theirs, whose factories may be called; others are not even imported.
    code : mapping of str to bytes
        Source files of the factory's module that travel in the run; see ``kept_code``.

    Raises
    ------
    ConfigError
        If the network cannot be made here, for example because a package is missing or a factory is not allowed.
    DataError
        If the weights are not those of the network.
    """
    if spec.kind == "factory":
        refuse_unnamed(spec.name, allow_factory, kept=bool(code))
    own = spec.kind == "factory"
    with importable(spec.name, code) if own else _AllocationLimit(_SPARE_BYTES + 2 * len(weights)):
        network = build_network(spec).float()
    fill_weights(network, weights, where)
    return _named(network.eval(), spec.head)


def _named(network: nn.Module, head: str) -> nn.Module:
    return Classifier(network, head) if head else network


def _check_named(classifier: Classifier, images: torch.Tensor, n_classes: int) -> None:
    phi, head = split_head(classifier)
    if head.out_features != n_classes:
        raise ConfigError(
            f"The layer '{classifier.head}' tells {head.out_features} classes apart, but there are {n_classes}; name "
            "the layer that gives one logit for each class."
        )
    with torch.no_grad():
        check_head(classifier, head, phi(images), images)


def _remark(classifier: Classifier, images: torch.Tensor, *, chosen: bool) -> str:
    phi, head = split_head(classifier)
    with torch.no_grad():
        return remark(list(tensors(classifier(images))), head(phi(images)), classifier.head, chosen=chosen)


def _refuse_broken(network: nn.Module, checkpoint: Path) -> None:
    broken = [name for name, value in network.named_parameters() if not torch.isfinite(value).all()]
    if broken:
        raise DataError(
            f"The weights {checkpoint} hold values that are not finite (NaN or infinity), first in '{broken[0]}'; take "
            "a checkpoint from before the training diverged."
        )


def _preprocessing(spec: NetworkSpec, network: nn.Module, given: Mapping[str, Any]) -> Preprocessing:
    missing = [key for key in NEEDED if key not in given]
    own = default_preprocessing(spec, network) if missing else None
    if own is None:
        if missing:
            raise ConfigError(
                f"The network '{spec.name}' comes without a preprocessing; give {', '.join(missing)} in "
                "[network.preprocessing]."
            )
        return Preprocessing.from_dict(given)
    # the margin of the model's own crop does not apply to another size
    kept = own.to_dict() | ({"resize": None} if "size" in given else {})
    return Preprocessing.from_dict(kept | dict(given))


class _AllocationLimit(TorchFunctionMode):
    """Within the block, limit the bytes of all newly allocated tensors.

    torch's ``meta`` device, which holds shapes and no numbers, gives their size before they are allocated.

    Parameters
    ----------
    n_bytes : int

    Raises
    ------
    DataError
        Raised by the function that would exceed the limit.
    """

    def __init__(self, n_bytes: int) -> None:
        super().__init__()
        self._left = n_bytes
        self._limit = n_bytes

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Count the bytes that a function is about to allocate."""
        given = dict(kwargs or {})
        if func in _MAKERS and "out" not in given:
            planned = func(*args, **given | {"device": "meta"})
            self._left -= planned.numel() * planned.element_size()
            if self._left < 0:
                raise DataError(
                    f"Its layers would take more than {self._limit / 1e6:,.0f} MB, far more than the weights that the "
                    "run has for it."
                )
        return func(*args, **given)
