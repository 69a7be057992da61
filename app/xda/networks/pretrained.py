"""Weights that torchvision and timm distribute with their models, downloaded as by these packages.

Only a build asks for them: they become a part of the run, so that opening it needs no network. Files of earlier
downloads are read from the caches of torch and the Hugging Face hub (``TORCH_HOME``, ``HF_HOME``).
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import urlparse

import torch
from torch import nn

from xda.errors import ConfigError, DataError
from xda.networks.checkpoints import load_weights
from xda.networks.zoo import require_model

ANY: Final = "pretrained"
"""Chooses the weights that a package uses by default for a model."""
_PRENORMALISED = ("googlenet", "inception_v3")
"""Models whose torchvision weights expect another normalisation; an extra layer converts it."""
_HASH = re.compile(r"-([a-f0-9]{8,})\.")
"""The part of a file's name that torch.hub reads as the beginning of its SHA-256."""


@dataclass(frozen=True, slots=True)
class Pretrained:
    """Weights that a package distributes."""

    name: str
    """torchvision's name (``"IMAGENET1K_V2"``) or timm's tag (``"a1_in1k"``)."""
    arguments: Mapping[str, Any]
    """Keyword arguments that the model needs to accept these weights."""


def choose_weights(kind: str, name: str, choice: str, n_classes: int) -> Pretrained:
    """Find weights by name; nothing is downloaded.

    Parameters
    ----------
    kind : {"torchvision", "timm"}
    name : str
        Of the model.
    choice : str
        ``"pretrained"``, or a name of torchvision's.
    n_classes : int
        Of the data set.

    Raises
    ------
    ConfigError
        If there are no such weights, or they are of another number of classes.
    """
    if kind == "torchvision":
        weights = torchvision_weights(name, choice)
        found, arguments = len(weights.meta["categories"]), {}
        if name in _PRENORMALISED:
            arguments = {"transform_input": True}
        if name.startswith("vit_"):
            arguments = {"image_size": weights.meta["min_size"][0]}
        chosen = Pretrained(str(weights.name), arguments)
    else:
        config = _timm_config(name, choice)
        found, chosen = config.num_classes, Pretrained(config.tag, {})
    if found != n_classes:
        raise ConfigError(
            f"The weights '{chosen.name}' of '{name}' tell {found:,} classes apart, the data set has {n_classes:,}; "
            "train the network's last layer on its classes and name the weights with checkpoint."
        )
    return chosen


def fill_pretrained(network: nn.Module, kind: str, name: str, weights: str, arguments: Mapping[str, Any]) -> None:
    """Fill a network with its makers' weights; download them unless they are in the cache.

    Parameters
    ----------
    network : nn.Module
        Made with ``arguments``.
    kind, name : str
        As for ``choose_weights``.
    weights : str
        Their name.
    arguments : mapping
        Keyword arguments of the model.

    Raises
    ------
    DataError
        The download fails, or the file does not match the hash in its name.
    """
    if kind == "torchvision":
        load_weights(network, _downloaded(torchvision_weights(name, weights).url, f"'{weights}' of '{name}'"))
        return
    timm = importlib.import_module("timm")
    try:
        with _quiet("huggingface_hub", "timm"):
            filled = timm.create_model(name, pretrained=True, **arguments)
    except Exception as error:  # timm and the hub raise various errors without internet
        raise DataError(
            f"The weights '{weights}' of '{name}' cannot be had from the Hugging Face hub ({_first_line(error)}); "
            "connect to the network, bring its cache from where they are (HF_HOME), or name a file with checkpoint."
        ) from None
    network.load_state_dict(filled.state_dict())


def torchvision_weights(name: str, choice: str) -> Any:
    """Return a member of a model's enumeration of weights.

    Parameters
    ----------
    name : str
        Of a model of torchvision.
    choice : str
        ``"pretrained"`` or the member's name, alone or after that of the enumeration.

    Raises
    ------
    ConfigError
        If there is no such model, or it has no weights, or none of that name.
    """
    from torchvision import models

    require_model("torchvision", name)
    known: Any = models.get_model_weights(name)
    names = list(known.__members__)
    if not names:
        raise ConfigError(f"torchvision has no weights for '{name}'; name a file with checkpoint.")
    asked = "DEFAULT" if choice == ANY else choice.removeprefix(f"{known.__name__}.")
    if asked not in names:
        raise ConfigError(
            f"torchvision has no weights '{choice}' for '{name}'; it has {', '.join(names)} (\"{ANY}\" takes DEFAULT)."
        )
    return known[asked]


def _timm_config(name: str, choice: str) -> Any:
    require_model("timm", name)
    try:
        config = importlib.import_module("timm").get_pretrained_cfg(name)
    except RuntimeError:  # the tag is unknown
        config = None
    if config is None or not config.has_weights:
        raise ConfigError(f"timm has no weights for '{name}'; name a file with checkpoint.")
    if choice not in (ANY, config.tag):
        raise ConfigError(
            f"timm names weights by a tag behind the model's name, such as '{name.partition('.')[0]}.{config.tag}'; "
            f"take weights = \"{ANY}\" with it, not '{choice}'."
        )
    return config


def _downloaded(url: str, what: str) -> Path:
    """Return a file of torch.hub, downloaded if missing; its content must match the hash in its name."""
    name = PurePosixPath(urlparse(url).path).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    found = _HASH.search(name)
    expected = found.group(1) if found else ""
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), expected or None, progress=sys.stderr.isatty())
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"The weights {what} cannot be had from {urlparse(url).hostname} ({_first_line(error)}); connect to "
                f"the network, put the file {name} into {path.parent}, or name another with checkpoint."
            ) from None
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(expected):
        raise DataError(
            f"The file {path} does not match its name: its SHA-256 begins with {digest[: len(expected)]}, not "
            f"{expected}; delete it, so that it is downloaded again."
        )
    return path


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Silence the packages' reports of each try; the error reports a failure once."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _first_line(error: Exception) -> str:
    lines = str(getattr(error, "reason", error)).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")
