"""Searches the mean and standard deviation of a network's training if the build gives it pixels from 0 to 1.

The network classifies labelled images under each usual normalisation. One is reported only if it does well, and better
than chance could explain. A network that was trained without normalisation, or that normalises by itself, gets no
report, because every other normalisation is worse; an untrained network gets none either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from xda.data.preprocessing import Preprocessing
from xda.networks.heads import split_head

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's training images, with which most published networks were trained."""
_SPREADS = 3.0
"""Images that become right must outnumber those that become wrong by so many standard deviations."""
_LEAST_KAPPA = 0.5
"""An untrained network may say the commonest class under one normalisation and another under the next."""
_CLOSE = 0.05
"""A less likely normalisation must be better by this share of the images."""
_AT_ONCE = 32

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation per channel, on the scale 0 to 1."""


@dataclass(frozen=True, slots=True)
class Better:
    """A normalisation under which a network classifies more images as labelled."""

    whose: str
    preprocessing: Preprocessing
    n_right: int
    n_right_before: int


def better_normalisation(
    network: nn.Module,
    preprocessing: Preprocessing,
    own: Preprocessing | None,
    images: Sequence[bytes],
    labels: NDArray[np.int64],
) -> Better | None:
    """Try other means and standard deviations if the given ones change nothing.

    Parameters
    ----------
    network : nn.Module
        Classifier with a linear head; put into eval mode and run where it is.
    preprocessing : Preprocessing
        As given. Only a mean of 0 with a standard deviation of 1 is questioned.
    own : Preprocessing, optional
        That of the network's makers.
    images : sequence of bytes
        n image files.
    labels : ndarray of int64, shape (n,)

    Returns
    -------
    Better or None
        The likeliest of the best, if the images that become right outnumber those that become wrong by three standard
        deviations of pure chance (McNemar's test), and if it is more than half way from guessing
        to the truth (Cohen's kappa above 0.5); else None.
    """
    if any(preprocessing.mean) or set(preprocessing.std) != {1.0} or not len(images):
        return None
    network.eval()
    pixels = preprocessing.array(images)
    before = _predicted(network, pixels) == labels
    found: list[Better] = []
    for whose, (mean, std) in _candidates(preprocessing, own, pixels).items():
        shape = (1, -1, 1, 1)
        normalised = (pixels - np.reshape(mean, shape)) / np.reshape(std, shape)
        predicted = _predicted(network, normalised.astype(np.float32))
        after = predicted == labels
        gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
        if gained - lost > _SPREADS * np.sqrt(gained + lost) and _kappa(predicted, labels) > _LEAST_KAPPA:
            better = replace(preprocessing, mean=mean, std=std)
            found.append(Better(whose, better, int(after.sum()), int(before.sum())))
    enough = max((each.n_right for each in found), default=0) - _CLOSE * len(labels)
    return next((each for each in found if each.n_right >= enough), None)


def _candidates(
    preprocessing: Preprocessing, own: Preprocessing | None, pixels: NDArray[np.float32]
) -> Mapping[str, Normalisation]:
    """Return the normalisations to try by their owner, the likeliest first."""
    channels = preprocessing.channels
    candidates: dict[str, Normalisation] = {}
    if own is not None and own.channels == channels:
        candidates["those of the model's makers"] = own.mean, own.std
    if channels == len(IMAGENET[0]):
        candidates["ImageNet's"] = IMAGENET
    candidates["those that map pixels to -1 to 1"] = (0.5,) * channels, (0.5,) * channels
    mean, std = pixels.mean(axis=(0, 2, 3)), pixels.std(axis=(0, 2, 3)).clip(min=1e-3)
    candidates["those of these images"] = tuple(map(float, mean)), tuple(map(float, std))
    candidates["those that map pixels to 0 to 255"] = (0.0,) * channels, (1 / 255,) * channels
    return candidates


def _kappa(predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Return Cohen's kappa: 0 if predictions are independent of the labels, 1 if all are right."""
    n_classes = 1 + int(max(predicted.max(), labels.max()))
    shares = [np.bincount(each, minlength=n_classes) / len(labels) for each in (predicted, labels)]
    chance = float(shares[0] @ shares[1])
    return (float(np.mean(predicted == labels)) - chance) / (1 - chance) if chance < 1 else 0.0


def _predicted(network: nn.Module, pixels: NDArray[np.float32]) -> NDArray[np.int64]:
    phi, head = split_head(network)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(pixels), _AT_ONCE):
            batch = torch.from_numpy(np.ascontiguousarray(pixels[start : start + _AT_ONCE])).to(head.weight.device)
            parts.append(head(phi(batch)).argmax(dim=1).cpu().numpy())
    return np.asarray(np.concatenate(parts))
