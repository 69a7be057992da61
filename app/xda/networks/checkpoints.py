"""Weights on disk: the product's own safetensors files and other programs' checkpoints."""

from __future__ import annotations

import argparse
import json
import pathlib
import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import nn

from xda.atomic import replacing
from xda.data.regular_files import open_regular
from xda.errors import DataError

_HEADER = "xda"
_NESTED = ("state_dict", "model_state_dict", "model", "net", "network")
"""Keys under which training programs put the state dict; tried in this order."""
_SAFE: list[Any] = [
    *(argparse.Namespace, pathlib.PurePosixPath, pathlib.PosixPath, np.ndarray, np.dtype),
    *(type(np.dtype(kind)) for kind in "?bhilqBHILQefdFDSU"),
    # the constructors of scalars and arrays, as NumPy 1 and 2 name them
    *((np.float64(0).__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *((np.zeros(0).__reduce__()[0], f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
]
"""Classes that training programs save beside tensors and plain values: arguments, paths, NumPy's numbers.

Making such an object runs no code from the file and has no effect outside of it.
"""
_PREFIXES = ("module.", "_orig_mod.", "model.")
"""Prefixes that DataParallel, torch.compile and training frameworks add to every name."""
_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
"""Old layer names in torchvision's files for its DenseNets."""
_CONVERT = (
    "in the program that made it: `torch.save(model.state_dict(), 'weights.pt')`, or "
    "`safetensors.torch.save_model(model, 'weights.safetensors')`"
)


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
    """Fill a network with the weights of a checkpoint: safetensors, or a state dict that torch saved.

    Raises
    ------
    DataError
        If the file is absent, unreadable, holds pickled objects, or has other names or shapes than the network.
    """
    _fill(network, read_checkpoint(path), str(path))


def fill_weights(network: nn.Module, content: bytes, path: str) -> None:
    """Fill a network with weights from the bytes of a safetensors file.

    Parameters
    ----------
    network : nn.Module
    content : bytes
    path : str
        Path of their file, for messages.

    Raises
    ------
    DataError
        If the bytes are no safetensors, or have other names or shapes than the network.
    """
    _fill(network, _unpack(content, path), path)


def read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint by name, on the CPU; the content tells the kind of file.

    Parameters
    ----------
    path : Path
        safetensors, or a file of ``torch.save``: a state dict, or a dict with one under ``state_dict``,
        ``model_state_dict``, ``model``, ``net`` or ``network``, or as the only entry that is one. Nothing is unpickled
        but tensors, plain values, and the few classes in which training programs keep their arguments and scores
        (``weights_only=True``).

    Raises
    ------
    DataError
        If the file is absent, unreadable, or holds pickled objects; the message says how to convert it.
    """
    try:
        with open_regular(path) as file:
            start = file.read(4)
            by_torch = start[:2] == b"PK" or start[:1] == b"\x80"
            content = b"" if by_torch else start + file.read()
    except FileNotFoundError:
        raise DataError(f"The weights {path} are missing; train the network or name another file.") from None
    except OSError as error:
        raise DataError(f"The weights {path} cannot be read ({error.strerror or error}); check the file.") from None
    return _read_torch(path) if by_torch else _unpack(content, str(path))


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata that ``save_weights`` put into a file; empty if there is no such file."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            values = json.loads((file.metadata() or {}).get(_HEADER, "{}"))
    except (safetensors.SafetensorError, OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in values.items()} if isinstance(values, dict) else {}


def pack(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return tensors and metadata as safetensors; equal content gives equal bytes."""
    on_cpu: dict[str, torch.Tensor] = {}
    memory: set[int] = set()
    for name, value in tensors.items():
        tensor = value.detach().cpu().contiguous()
        # tied weights: the format does not share tensors
        on_cpu[name] = tensor.clone() if tensor.untyped_storage().data_ptr() in memory else tensor
        memory.add(on_cpu[name].untyped_storage().data_ptr())
    # a single entry, because the library writes several in random order
    return safetensors.torch.save(on_cpu, {_HEADER: json.dumps(dict(metadata), sort_keys=True)})


def _unpack(content: bytes, path: str) -> dict[str, torch.Tensor]:
    try:
        return safetensors.torch.load(content)
    except (safetensors.SafetensorError, ValueError) as error:
        raise DataError(f"The weights {path} cannot be read as safetensors ({error}); make them anew.") from None


def _is_torchscript(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _read_torch(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors that ``torch.save`` wrote."""
    if _is_torchscript(path):
        raise DataError(
            f"The weights {path} are a TorchScript archive, a program rather than tensors. Save the state dict "
            f"instead, {_CONVERT}."
        )
    try:
        # a stream, because torch would judge a path by its name
        with path.open("rb") as file, torch.serialization.safe_globals(_SAFE):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)|global ([\w.]+)|got <class '([\w.]+)'", str(error))
        what = f" of the class {next(filter(None, found.groups()))}" if found else ""
        raise DataError(
            f"The weights {path} hold a pickled object{what}, not only tensors; loading it would run code from the "
            f"file, so it is refused. Save the state dict instead, {_CONVERT}."
        ) from None
    # a damaged pickle may raise any error from the allowed classes
    except Exception as error:
        raise DataError(f"The weights {path} cannot be read ({error}); copy or make them anew.") from None
    content = _state_dict(content)
    if not isinstance(content, Mapping) or not content:
        raise DataError(
            f"The weights {path} hold a '{type(content).__name__}', not a state dict; save one, {_CONVERT}."
        )
    several = [f"'{name}'" for name, value in content.items() if _is_state_dict(value)]
    if several:
        raise DataError(
            f"The weights {path} hold {len(several)} state dicts, {', '.join(several)}, and none of them is called "
            f"{' or '.join(_NESTED)}; save the one that is meant, {_CONVERT}."
        )
    foreign = [str(name) for name, value in content.items() if not isinstance(value, torch.Tensor)]
    if foreign:
        raise DataError(
            f"The weights {path} hold '{foreign[0]}', which is not a tensor, and no entry {' or '.join(_NESTED)}; save "
            f"the state dict alone, {_CONVERT}."
        )
    return {str(name): value for name, value in content.items()}


def _state_dict(content: object) -> object:
    """Find the state dict in a training program's checkpoint: under a known name, or the only one in it."""
    while isinstance(content, Mapping):
        named = [content[key] for key in _NESTED if isinstance(content.get(key), Mapping)]
        alone = [value for value in content.values() if _is_state_dict(value)]
        if not named and len(alone) != 1:
            break
        content = (named or alone)[0]
    return content


def _is_state_dict(value: object) -> bool:
    return (
        isinstance(value, Mapping) and len(value) > 0 and all(isinstance(each, torch.Tensor) for each in value.values())
    )


def _fill(network: nn.Module, tensors: Mapping[str, torch.Tensor], path: str) -> None:
    expected = network.state_dict()
    tensors = {_DENSENET.sub(r"\1\2", name): value for name, value in tensors.items()}
    tensors = _unprefixed(tensors, expected.keys())
    # old checkpoints lack this counter, and eval mode does not read it
    missing = sorted(n for n in expected.keys() - tensors.keys() if not n.endswith("num_batches_tracked"))
    unexpected = sorted(tensors.keys() - expected.keys())
    shapes = sorted(name for name in expected.keys() & tensors.keys() if expected[name].shape != tensors[name].shape)
    if missing or unexpected or shapes:
        first = (missing + unexpected + shapes)[0]
        sides = (
            f", {tuple(tensors[first].shape)} in the file and {tuple(expected[first].shape)} in the network"
            if first in shapes
            else ""
        )
        auxiliary = all(name.lower().startswith("aux") for name in missing + unexpected) and not shapes
        hint = ""
        if auxiliary:
            which, value = ("without", "false") if missing else ("with", "true")
            hint = f" (auxiliary heads: {which} them if [network] has arguments = {{ aux_logits = {value} }})"
        if shapes and all(expected[name].shape[:1] == (2,) and tensors[name].shape[:1] == (1,) for name in shapes):
            hint = " (one logit: of torchvision and timm, arguments = { num_classes = 1 } makes such a network)"
        raise DataError(
            f"The weights {path} do not belong to this network: {len(missing)} tensor(s) missing, {len(unexpected)} "
            f"unexpected, {len(shapes)} of another shape (first: '{first}'{sides}){hint}; name the file made for this "
            "network and this number of classes."
        )
    network.load_state_dict(dict(tensors), strict=False)


def _unprefixed(tensors: Mapping[str, torch.Tensor], expected: Iterable[str]) -> dict[str, torch.Tensor]:
    """Remove prefixes that wrappers added to every name, unless the network's own names have them."""
    names = dict(tensors)
    known = set(expected)
    changed = True
    while changed and names and not known & names.keys():
        changed = False
        for prefix in _PREFIXES:
            if all(name.startswith(prefix) for name in names):
                names = {name.removeprefix(prefix): value for name, value in names.items()}
                changed = True
    return names
