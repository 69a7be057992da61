"""A frozen copy of a trained classifier f(x) = V phi(x) + v (method section 1), which computes features and logits.

The copy is in eval mode and never changes: if you train or move the original later, explanations and sums stay.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn
from torch.utils.data import DataLoader, Dataset

from xda.data.tensors import AsGiven, Images, LabelledImages, PreparedSet, as_batch
from xda.errors import ConfigError, DataError
from xda.networks.heads import Classifier, check_head, find_head, split_head
from xda.networks.outputs import is_single, remark, tensors
from xda.networks.refusals import refuse_scripted
from xda.networks.spec import uncompiled
from xda.progress import Progress, silent
from xda.relevance.relevance_model import RelevanceModel

_AT_ONCE = 256


class FrozenClassifier:
    """A copy of a classifier, taken apart into phi and its head.

    Parameters
    ----------
    network : nn.Module
        Classifier with a linear head; left as it is. The copy stays on its device.
    images : PreparedSet
        The images that it was trained on.
    head : str
        Name of its last linear layer; by default found by running the network.
    n_classes : int, optional
        Number of classes; by default the number of its outputs, or two for a single output.

    Attributes
    ----------
    device : torch.device
    head : str
    n_classes : int
    remark : str
        Its steps after the head, and its further outputs, in words; empty without any.

    Raises
    ------
    ConfigError
        If the network cannot be copied, fails on the images, or has no linear head.
    """

    def __init__(
        self, network: nn.Module, images: PreparedSet, *, head: str = "", n_classes: int | None = None
    ) -> None:
        if not isinstance(network, nn.Module):
            raise ConfigError(f"The model is a {type(network).__name__}; give a torch.nn.Module.")
        if isinstance(network, torch.jit.ScriptModule):
            refuse_scripted(network)
        try:
            frozen = copy.deepcopy(uncompiled(network)).eval().requires_grad_(False)
        except (RuntimeError, TypeError) as error:
            raise ConfigError(f"The model cannot be copied ({error}); give one whose parameters are leaves.") from None
        parameter = next(frozen.parameters(), None)
        if parameter is None:
            raise ConfigError("The model has no parameters; give a trained network with a linear head.")
        self.device, self._dtype = parameter.device, parameter.dtype
        self.shape = images.shape
        probes = self._on_device(torch.from_numpy(np.stack([images.image(i) for i in range(min(2, len(images)))])))
        self.n_classes = n_classes or _count_outputs(frozen, probes)
        self.head = head or find_head(frozen, probes, self.n_classes)
        self._network = Classifier(frozen, self.head).eval()
        self._phi, self._linear = split_head(self._network)
        with torch.inference_mode():
            features = self._phi(probes)
            check_head(self._network, self._linear, features, probes)
            outputs = list(tensors(frozen(probes)))
            self.remark = remark(outputs, self._linear(features), self.head, chosen=bool(head))
        self.n_classes = self._linear.out_features

    def features(self, images: ArrayLike | torch.Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Compute features and logits.

        Parameters
        ----------
        images : tensor or array-like, shape (C, H, W) or (B, C, H, W)
            As the network takes them.

        Returns
        -------
        features : ndarray of float32, shape (B, d)
        logits : ndarray of float32, shape (B, K)

        Raises
        ------
        DataError
            If the images have another shape than those of the training set.
        """
        batch = as_batch(images, self.shape)
        features = np.empty((len(batch), self._linear.in_features), dtype=np.float32)
        logits = np.empty((len(batch), self.n_classes), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(batch), _AT_ONCE):
                rows = slice(start, start + _AT_ONCE)
                z = self._phi(self._on_device(batch[rows]))
                features[rows], logits[rows] = z.float().cpu().numpy(), self._linear(z).float().cpu().numpy()
        return features, logits

    def pixels(self, images: ArrayLike | torch.Tensor) -> NDArray[np.float32]:
        """Return images as an array (B, C, H, W); parameters and errors as for ``features``."""
        return np.asarray(as_batch(images, self.shape).detach().float().cpu().numpy())

    def features_of(
        self, images: PreparedSet, progress: Progress, stage: str
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        """Compute features and logits of a whole set.

        Parameters
        ----------
        images : PreparedSet
            N images.
        progress : Progress
        stage : str
            Name of the step for ``progress``.

        Returns
        -------
        features : ndarray of float32, shape (N, d)
        logits : ndarray of float32, shape (N, K)
        labels : ndarray of int64, shape (N,)

        Raises
        ------
        DataError
            If an item cannot be used, a label is no class, or a feature is not finite.
        """
        features = np.empty((len(images), self._linear.in_features), dtype=np.float32)
        logits = np.empty((len(images), self.n_classes), dtype=np.float32)
        labels = np.empty(len(images), dtype=np.int64)
        done = 0
        for batch, named in images.batches():
            rows = slice(done, done + len(named))
            features[rows], logits[rows] = self.features(batch)
            labels[rows] = named
            done += len(named)
            progress(stage, done, len(images))
        if done != len(images):
            raise DataError(
                f"The data set has {len(images):,} images, but gave {done:,}; none may be left out on the way."
            )
        wrong = np.flatnonzero((labels < 0) | (labels >= self.n_classes))
        if len(wrong):
            raise DataError(
                f"Image {wrong[0]} has the label {labels[wrong[0]]}; the network's classes are 0 to "
                f"{self.n_classes - 1}."
            )
        _refuse_broken(features)
        return features, logits, labels

    def outputs(
        self, images: Images | LabelledImages
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64] | None]:
        """Compute features and logits, and the labels of images that come with them; errors as for ``features_of``."""
        if isinstance(images, Dataset | DataLoader | tuple):
            return self.features_of(PreparedSet(images), silent, "")
        features, logits = self.features(images)
        _refuse_broken(features)
        return features, logits, None

    def relevance_model(self) -> RelevanceModel:
        """Return the copy with the rules for its heat-maps; ConfigError if no relevance can go through it."""
        return RelevanceModel(self._network, AsGiven(self.shape), self.device)

    def _on_device(self, images: torch.Tensor) -> torch.Tensor:
        return images.to(self.device, self._dtype)


def _refuse_broken(features: NDArray[np.float32]) -> None:
    broken = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(broken):
        raise DataError(f"The network's features of image {broken[0]} are not finite; check the image and weights.")


def _count_outputs(network: nn.Module, images: torch.Tensor) -> int:
    try:
        with torch.inference_mode():
            output: object = network(images)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(
            f"The model fails on images of the shape {tuple(images.shape)} from the training set ({error}); give "
            "them as the model takes them."
        ) from error
    if isinstance(output, torch.Tensor) and (is_single(output) or output.ndim == 2):
        return 2 if is_single(output) else output.shape[1]
    raise ConfigError("The model does not return one tensor (B, K) of logits; name the classes with classes=[...].")
