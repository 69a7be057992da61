"""Features z = phi(x) and logits f(x) of every image of a split (method section 1): eval mode, no augmentation.

:func:`extract_batches` gives them batch by batch, from any image on, so that memory stays bounded however many images
there are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from xda.data.dataset import ImageSplit
from xda.data.preprocessing import Preprocessing
from xda.errors import DataError
from xda.networks.batches import fitting_batch_size, index_batches, load_batch
from xda.networks.heads import check_head, split_head
from xda.progress import Progress

Outputs = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Features, shape (n, d), and logits, shape (n, K)."""


def output_widths(network: nn.Module) -> tuple[int, int]:
    """Return a classifier's number of features d and number of logits K.

    Raises
    ------
    ConfigError
        If its head cannot be used.
    """
    _, head = split_head(network)
    return head.in_features, head.out_features


def extract_batches(
    network: nn.Module,
    preprocessing: Preprocessing,
    split: ImageSplit,
    *,
    device: torch.device,
    progress: Progress,
    batch_size: int | None = None,
    start: int = 0,
    stage: str = "Features",
    known: NDArray[np.float32] | None = None,
) -> Iterator[Outputs]:
    """Compute the features and logits of the images, batch after batch.

    Parameters
    ----------
    network : nn.Module
        Classifier with a linear head; moved to the device and put into eval mode.
    preprocessing : Preprocessing
    split : ImageSplit
        N images.
    device : torch.device
    progress : Progress
        Told how many images are done.
    batch_size : int, optional
        Images at a time; by default ``batches.batch_size_for``.
    start : int
        Image to begin with; those before it are done.
    stage : str
        Name of the step for ``progress``.
    known : NDArray[np.float32], optional
        The features of all images, shape (N, d), if they were computed before: then only the logits are computed, and
        the first two images are looked at to see that the features are this network's.

    Yields
    ------
    features : NDArray[np.float32]
        phi(x), shape (n, d). Not standardised.
    logits : NDArray[np.float32]
        V phi(x) + v, shape (n, K).

    Raises
    ------
    ConfigError
        If the network does something after its last linear layer, or its features are not one vector per image.
    DataError
        If an image cannot be decoded, or its features are not finite.
    """
    network.to(device).eval()
    phi, head = split_head(network)
    for batch in index_batches(len(split), batch_size or fitting_batch_size(preprocessing, device), start):
        # Not around the loop: autograd must stay on for the consumer of the batches.
        with torch.inference_mode():
            first = batch[0] == start
            if known is None or first:
                images = load_batch(split, batch if known is None else batch[:2], preprocessing).to(device)
            z = phi(images) if known is None else torch.from_numpy(known[batch]).to(device)
            _refuse_infinite(z, batch)
            if first:
                check_head(network, head, z[:2], images[:2])
            scores = head(z)
        yield z.cpu().numpy(), scores.cpu().numpy()
        progress(stage, int(batch[-1]) + 1, len(split))


def _refuse_infinite(features: torch.Tensor, indices: NDArray[np.int64]) -> None:
    rows = torch.isfinite(features).flatten(1).all(dim=1).logical_not().nonzero()
    if len(rows):
        raise DataError(
            f"The network's features of image {indices[int(rows[0])]} are not finite (NaN or infinity); look at its "
            "weights and at the preprocessing."
        )
