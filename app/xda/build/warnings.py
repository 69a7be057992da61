"""Warnings about legal but suspicious builds, one sentence each; logged, not stored."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from xda.build.config import BuildConfig
from xda.data.dataset import MOST_SAMPLES, ImageDataset, evenly
from xda.networks.loading import LoadedNetwork
from xda.networks.normalisation import better_normalisation

MOST_CLASSES = 5
"""A sentence names at most so many classes."""
_FEWEST = 10
"""With fewer test images there is no warning about the accuracy: it would be chance."""
_TRIED = 128
"""Another normalisation is tried on at most so many test images."""
_VALUES = 2**25
"""These images together have at most so many pixels, unless 16 images have more."""
_SPREADS = 1.5
"""Right answers must exceed those of guessing by so many standard deviations."""

logger = logging.getLogger(__name__)


def warn(warnings: Iterable[str], *, remark: str = "") -> None:
    """Log the warnings, and before them a remark about the network that is no warning."""
    if remark:
        logger.warning("%s", remark)
    for warning in warnings:
        logger.warning("Warning: %s.", warning)


def configuration_warnings(config: BuildConfig, dataset: ImageDataset) -> list[str]:
    """Return warnings about the configuration and the data set, before the network has seen an image.

    Parameters
    ----------
    config : BuildConfig
    dataset : ImageDataset
        The data set that it names.

    Returns
    -------
    list of str
        Sentences without a full stop.
    """
    warnings = []
    if dataset.train.fingerprint == dataset.test.fingerprint:
        warnings.append(
            "training and test images are the same, so every explained image was also used for training; name a "
            "separate test split"
        )
    tested = np.bincount(dataset.test.labels, minlength=len(dataset.classes))
    if absent := [f"'{dataset.classes[k]}'" for k in np.flatnonzero(tested == 0).tolist()]:
        named = ", ".join(absent[:MOST_CLASSES]) + (
            f" and {rest} more" if (rest := len(absent) - MOST_CLASSES) > 0 else ""
        )
        warnings.append(f"there is no test image of {'class' if len(absent) == 1 else 'the classes'} {named}")
    if config.network.checkpoint is None and config.network.weights is None:
        warnings.append(
            f"[network] names no checkpoint, so '{config.network.factory}' makes the weights; they are random unless "
            "it loads or trains them"
        )
    table = config.network.preprocessing
    large = [
        f"{name} = [{', '.join(f'{value:g}' for value in values)}]"
        for name, values in (("mean", table.mean), ("std", table.std))
        if values is not None and max(values) > 1
    ]
    if large:
        warnings.append(
            f"{' and '.join(large)} {'look' if len(large) > 1 else 'looks'} like units of 0 to 255; pixels are scaled "
            "to 0 to 1 here, so divide mean and std by 255"
        )
    # This program trained the presets, and reads the images in the same way.
    found = [each for each in (dataset.train.otherwise, dataset.test.otherwise) if each.count]
    if found and config.network.preset is None:
        count = sum(each.count for each in found)
        names = ", ".join([name for each in found for name in each.names][:MOST_SAMPLES])
        warnings.append(
            f"{count:,} image(s) are turned upright by their EXIF data, or hold grey of "
            f"more than 8 bits that is scaled: {names}{' …' if count > MOST_SAMPLES else ''}. "
            "torchvision's ImageFolder does neither, so a network trained with it saw these images differently"
        )
    return warnings


def accuracy_warnings(labels: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int) -> list[str]:
    """Warn if accuracy is no better than chance (Cohen's kappa near 0).

    The function compares the number of right answers with two others. The first is the number expected if labels and
    predictions were independent (the chance agreement of Cohen, 1960); it also finds a network that always predicts one
    class. The second is the number for always guessing the most frequent label.

    Parameters
    ----------
    labels : ndarray of int64, shape (n,)
    predicted : ndarray of int64, shape (n,)
    n_classes : int

    Returns
    -------
    list of str
        A sentence without a full stop, or nothing.
    """
    n, right = len(labels), int((labels == predicted).sum())
    if n < _FEWEST or right == n:
        return []
    shares = [np.bincount(each, minlength=n_classes) / n for each in (labels, predicted)]
    chance = float(shares[0] @ shares[1])
    most = int(np.bincount(labels, minlength=n_classes).max())
    if right <= n * chance + _SPREADS * np.sqrt(n * chance * (1 - chance)):
        less = f"guessing would give about {n * chance:,.0f}"
    elif right < most:
        less = f"always guessing the most frequent class would give {most:,}"
    else:
        return []
    return [
        f"{right:,} of {n:,} test images are classified as labelled, and {less}: check the weights, the order of the "
        "classes and the preprocessing"
    ]


def normalisation_warnings(network: LoadedNetwork, dataset: ImageDataset) -> list[str]:
    """Warn if mean and standard deviation are missing and others make the network classify better.

    Parameters
    ----------
    network : LoadedNetwork
    dataset : ImageDataset
        The network classifies some of its test images.

    Returns
    -------
    list of str
        One sentence without a full stop, or none. ``xda.networks.normalisation`` holds the criterion.
    """
    n, given = len(dataset.test), network.preprocessing
    most = int(np.clip(_VALUES // (given.channels * given.size[0] * given.size[1]), 16, _TRIED))
    tried = evenly(n, most)
    images = [dataset.test.encoded(int(i)) for i in tried]
    own, labels = network.own_preprocessing(), dataset.test.labels[tried]
    better = better_normalisation(network.classifier, given, own, images, labels)
    if better is None:
        return []
    values = better.preprocessing.describe_normalisation()
    return [
        f"no mean and std are given (0 and 1), and {better.n_right_before:,} of {len(labels):,} test images are "
        f"classified as labelled; with {better.whose} ({values}) it would be {better.n_right:,}: give mean and std of "
        "the network's training in [network.preprocessing]"
    ]
