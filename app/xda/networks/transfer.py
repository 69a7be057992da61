"""A preset that starts from ImageNet's weights, its head fitted on the features of the training images.

The features of a split are kept in a folder under a key over weights, preprocessing and images, so that the head, the
build and a later training compute them once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from xda.atomic import replacing
from xda.data.dataset import ImageDataset, ImageSplit
from xda.data.preprocessing import Preprocessing
from xda.networks.checkpoints import pack
from xda.networks.features import extract_batches
from xda.networks.fitted_head import FittedHead, fit_head
from xda.networks.heads import head_name, split_head
from xda.networks.imagenet_weights import fill_all_but_head
from xda.networks.presets import Preset
from xda.networks.spec import NetworkSpec, build_network
from xda.progress import Progress


@dataclass(frozen=True, slots=True)
class Transferred:
    """A network with a fitted head, and what it was fitted on."""

    network: nn.Module
    """In eval mode."""
    head: FittedHead
    train_features: NDArray[np.float32]
    """Shape (N, d)."""


def transfer(
    preset: Preset, dataset: ImageDataset, kept: Path | None, *, device: torch.device, progress: Progress
) -> Transferred:
    """Fill a preset's network with ImageNet's weights and fit its head.

    Parameters
    ----------
    preset : Preset
        One that starts from ImageNet's weights.
    dataset : ImageDataset
        Only its training images are looked at.
    kept : Path, optional
        Folder of features that were computed before.
    device : torch.device
    progress : Progress

    Raises
    ------
    ConfigError
        If timm is not installed, or a class has no training image.
    DataError
        If the weights cannot be had or an image cannot be decoded.
    """
    network = build_network(NetworkSpec(preset.name, len(dataset.classes)))
    fill_all_but_head(network)
    features = kept_features(
        network, preset.preprocessing, dataset.train, kept, device=device, progress=progress, stage="Features: train"
    )
    fitted = fit_head(features, dataset.train.labels, len(dataset.classes), progress=progress)
    _, head = split_head(network)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(fitted.weight))
        head.bias.copy_(torch.from_numpy(fitted.bias))
    return Transferred(network.eval(), fitted, features)


def kept_features(
    network: nn.Module,
    preprocessing: Preprocessing,
    split: ImageSplit,
    folder: Path | None,
    *,
    device: torch.device,
    progress: Progress,
    stage: str,
) -> NDArray[np.float32]:
    """Return phi of all images, shape (N, d), from the folder if they are in it, and keep them there.

    Parameters
    ----------
    network : nn.Module
        Its head does not matter.
    preprocessing : Preprocessing
    split : ImageSplit
    folder : Path, optional
        Made if absent; None: nothing is kept.
    device, progress, stage
        As for ``extract_batches``.

    Raises
    ------
    DataError
        If an image cannot be decoded.
    """
    shape = len(split), split_head(network)[1].in_features
    path = None if folder is None else folder / f"{_key(network, preprocessing, split)}.npy"
    if path is not None:
        try:
            found = np.load(path, allow_pickle=False)
            if found.shape == shape and found.dtype == np.float32:
                return np.asarray(found)
        # absent, or half a file
        except (OSError, ValueError, EOFError):
            pass
    batches = extract_batches(network, preprocessing, split, device=device, progress=progress, stage=stage)
    features: NDArray[np.float32] = np.concatenate([np.empty((0, shape[1]), np.float32), *(z for z, _ in batches)])
    if path is not None:
        with replacing(path) as stream:
            np.save(stream, features)
    return features


def _key(network: nn.Module, preprocessing: Preprocessing, split: ImageSplit) -> str:
    head = f"{head_name(network)}."
    body = {name: value.cpu() for name, value in network.state_dict().items() if not name.startswith(head)}
    digest = hashlib.sha256(pack(body, {}))
    digest.update(repr((preprocessing.to_dict(), split.fingerprint, len(split))).encode())
    return digest.hexdigest()[:32]
