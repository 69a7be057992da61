"""What stops no build and is most likely a mistake all the same, a sentence each: said at once, stored nowhere."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from xda.build.config import BuildConfig
from xda.data.dataset import MOST_SAMPLES, ImageDataset
from xda.networks.loading import LoadedNetwork
from xda.networks.normalisation import better_normalisation

MOST_CLASSES = 5
"""Classes that a sentence names."""
_FEWEST = 10
"""Images of which fewer say nothing of the accuracy."""
_TRIED = 128
"""Test images on which another normalisation is tried, at most."""
_VALUES = 2**25
"""Pixels that these have together, unless 16 images have more."""
_SPREADS = 1.5
"""Standard deviations by which right answers must exceed those of guessing."""

logger = logging.getLogger(__name__)


def warn(doubts: Iterable[str], *, remark: str = "") -> None:
    """Say them to whoever started the build, and what is to be known of the network beside that."""
    if remark:
        logger.warning("%s", remark)
    for doubt in doubts:
        logger.warning("Warning: %s.", doubt)


def doubts_before(config: BuildConfig, dataset: ImageDataset) -> list[str]:
    """Return what is doubtful before the network has seen an image.

    Parameters
    ----------
    config : BuildConfig
    dataset : ImageDataset
        The data set that it names.

    Returns
    -------
    list of str
        Without a full stop.
    """
    doubts = []
    if dataset.train.fingerprint == dataset.test.fingerprint:
        doubts.append(
            "the training images are the test images too, so every explanation is of an image that the network was "
            "trained on; name a test split of its own"
        )
    tested = np.bincount(dataset.test.labels, minlength=len(dataset.classes))
    if absent := [f"'{dataset.classes[k]}'" for k in np.flatnonzero(tested == 0).tolist()]:
        named = ", ".join(absent[:MOST_CLASSES]) + (
            f" and {rest} more" if (rest := len(absent) - MOST_CLASSES) > 0 else ""
        )
        doubts.append(f"there is no test image of {'class' if len(absent) == 1 else 'the classes'} {named}")
    if config.network.checkpoint is None and config.network.weights is None:
        doubts.append(
            f"[network] names no checkpoint, so the weights are those that '{config.network.factory}' makes: random "
            "ones, unless it loads or trains them"
        )
    table = config.network.preprocessing
    large = [
        f"{name} = [{', '.join(f'{value:g}' for value in values)}]"
        for name, values in (("mean", table.mean), ("std", table.std))
        if values is not None and max(values) > 1
    ]
    if large:
        doubts.append(
            f"{' and '.join(large)} {'look' if len(large) > 1 else 'looks'} like units of 0 to 255; pixels are scaled "
            "to 0 to 1 here, so divide mean and std by 255"
        )
    # our own training reads images as this product does
    found = [each for each in (dataset.train.otherwise, dataset.test.otherwise) if each.count]
    if found and config.network.preset is None:
        count = sum(each.count for each in found)
        names = ", ".join([name for each in found for name in each.names][:MOST_SAMPLES])
        doubts.append(
            f"{count:,} image(s) are turned upright by their EXIF data, or hold grey of "
            f"more than 8 bits that is scaled: {names}{' …' if count > MOST_SAMPLES else ''}. "
            "torchvision's ImageFolder does neither, so a network that was trained with it saw them otherwise"
        )
    return doubts


def doubts_of_accuracy(labels: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int) -> list[str]:
    """Return whether a network is no better than guessing.

    Right answers are compared with those expected if labels and predictions had nothing to do with each other (the
    chance agreement of Cohen's kappa, 1960), so that a network that always says the commonest class is found too; and
    then with those of whoever always says the most frequent class of these labels.

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
        f"{right:,} of {n:,} test images are classified as labelled, and {less}: look at the weights, the order of the "
        "classes and the preprocessing"
    ]


def doubts_of_normalisation(network: LoadedNetwork, dataset: ImageDataset) -> list[str]:
    """Return whether a network for which no mean and standard deviation are given was trained with some.

    Parameters
    ----------
    network : LoadedNetwork
    dataset : ImageDataset
        Some of its test images are classified.

    Returns
    -------
    list of str
        A sentence without a full stop, or nothing. See ``xda.networks.normalisation`` for when.
    """
    n, given = len(dataset.test), network.preprocessing
    most = int(np.clip(_VALUES // (given.channels * given.size[0] * given.size[1]), 16, _TRIED))
    tried = np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64)) if n else np.arange(0)
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
