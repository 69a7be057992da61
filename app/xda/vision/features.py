"""Features z = phi(x) and logits f(x) of every image of a split (method section 1): eval mode, no augmentation."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from xda.progress import Progress
from xda.vision.batches import index_batches, load_batch
from xda.vision.heads import check_head, split_head
from xda.vision.images import ImageSplit
from xda.vision.preprocessing import Preprocessing


def extract(
    network: nn.Module,
    preprocessing: Preprocessing,
    split: ImageSplit,
    *,
    device: torch.device,
    progress: Progress,
    batch_size: int = 500,
    stage: str = "Features",
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compute the features and logits of all images.

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
    batch_size : int
        Images at a time.
    stage : str
        Name of the step for ``progress``.

    Returns
    -------
    features : NDArray[np.float32]
        phi(x), shape (N, d). Not standardised.
    logits : NDArray[np.float32]
        V phi(x) + v, shape (N, K).

    Raises
    ------
    ConfigError
        If the network does something after its last linear layer, or its features are not one vector per image.
    DataError
        If an image cannot be decoded.
    """
    network.to(device).eval()
    phi, head = split_head(network)
    features = np.empty((len(split), head.in_features), dtype=np.float32)
    logits = np.empty((len(split), head.out_features), dtype=np.float32)
    with torch.inference_mode():
        for batch in index_batches(len(split), batch_size):
            images = load_batch(split, batch, preprocessing).to(device)
            z = phi(images)
            if batch[0] == 0:
                check_head(network, head, z[:2], images[:2])
            scores = head(z)
            features[batch] = z.cpu().numpy()
            logits[batch] = scores.cpu().numpy()
            progress(stage, int(batch[-1]) + 1, len(split))
    return features, logits
