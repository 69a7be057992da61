"""Heat-maps: relevance on the features of an image, propagated back to its pixels (method section 4).

For a pair of test image x and training image x_i the relevance R_k = alpha_i^c phi_k(x) phi_k(x_i) is put on the output
of phi and propagated by zennit's ``EpsilonPlusFlat(zero_params="bias")``; channels are summed. Each map then sums to
sum_k R_k = tau_i(x, c), up to the stabiliser. Biases get no relevance because with them that sum would not hold.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from zennit.composites import EpsilonPlusFlat

from xda.errors import ConfigError
from xda.vision.architectures import canonization, refuse_unmerged
from xda.vision.networks import split_head
from xda.vision.rules import Sharing, attach, ruled_layer

Image = bytes | NDArray[np.floating]
"""An image in a form that the model's preparation takes: an image file, or pixels as the network takes them."""

_BYTES_AT_ONCE = 512 * 2**20
_LARGEST_BATCH = 256
_PROBES = 5
_CONSERVED = 0.01


class Preparation(Protocol):
    """How images become what the network takes: ``xda.vision.preprocessing``, or ``xda.vision.prepared``."""

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the network's input."""

    @property
    def channels(self) -> int:
        """Number of channels, C."""

    def array(self, images: Sequence[Any], /) -> NDArray[np.float32]:
        """Return images as the network takes them, shape (B, C, H, W)."""


class RelevanceModel:
    """A network with the rules for its heat-maps, attached once and kept.

    The network that is given in is moved to the device and put into eval mode, and otherwise left alone: the rules live
    on a private copy of its feature extractor. Not thread-safe.

    Parameters
    ----------
    network : nn.Module
        Classifier with a linear head.
    preprocessing : Preparation
        Its preprocessing; decides what an image is below: an image file, or pixels as the network takes them.
    device : torch.device
    composite : {"EpsilonPlusFlat"}
        The only one offered.

    Attributes
    ----------
    composite : str
        Rules and canonizer in words, for the manifest.
    conservation_error : float
        |sum of map - sum of relevance| / sum of relevance, median over images of noise.
    batch_size : int
        Seeds propagated at a time, so that memory stays bounded.

    Raises
    ------
    ConfigError
        If the composite is unknown, or the architecture is not one through which relevance can be propagated.
    """

    composite: str
    conservation_error: float
    batch_size: int

    def __init__(
        self,
        network: nn.Module,
        preprocessing: Preparation,
        device: torch.device,
        composite: Literal["EpsilonPlusFlat"] = "EpsilonPlusFlat",
    ) -> None:
        if composite != "EpsilonPlusFlat":
            raise ConfigError(f"There is no relevance composite '{composite}'; use 'EpsilonPlusFlat'.")
        self._preprocessing = preprocessing
        self._device = device
        self._phi, self._head = split_head(network.to(device).eval())
        self._sharing = Sharing()
        chosen = canonization(network)
        self.composite = ", ".join(filter(None, ("EpsilonPlusFlat(zero_params='bias')", chosen.name)))
        rules = EpsilonPlusFlat(zero_params="bias", canonizers=list(chosen.canonizers))
        self._ruled = copy.deepcopy(self._phi).requires_grad_(False)
        for canonizer in rules.canonizers:
            canonizer.apply(self._ruled)
        refuse_unmerged(self._ruled)
        context: dict[str, object] = {}
        hooks = [(module, rules.module_map(context, name, module)) for name, module in self._ruled.named_modules()]
        for module, hook in hooks:
            if hook is not None:
                attach(module, ruled_layer(module, hook), self._sharing)
        self.batch_size = 1
        self.conservation_error = self._measure()

    @property
    def n_features(self) -> int:
        """Number of features, d."""
        return self._head.in_features

    def features(self, images: Sequence[Image]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Compute features and logits of images, as ``features.extract`` does.

        Parameters
        ----------
        images : sequence of Image
            B images.

        Returns
        -------
        features : NDArray[np.float32]
            phi(x), shape (B, d).
        logits : NDArray[np.float32]
            Shape (B, K).

        Raises
        ------
        DataError
            If an image cannot be decoded.
        """
        features = np.empty((len(images), self._head.in_features), dtype=np.float32)
        logits = np.empty((len(images), self._head.out_features), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(images), self.batch_size):
                rows = slice(start, start + self.batch_size)
                z = self._phi(self._tensor(images[rows]))
                features[rows] = z.cpu().numpy()
                logits[rows] = self._head(z).cpu().numpy()
        return features, logits

    def maps(
        self, images: Sequence[Image], relevance: NDArray[np.floating], shown: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Propagate relevance to the pixels of images.

        Each distinct image goes forward through the network once, however many seeds are on it.

        Parameters
        ----------
        images : sequence of Image
            m images.
        relevance : NDArray
            n seeds: R on the output of phi, shape (n, d).
        shown : NDArray[np.int64], optional
            Shape (n,): on which of the images each seed is. Default: m = n, each on its own.

        Returns
        -------
        NDArray[np.float32]
            Shape (n, H, W), in the network's input resolution; ``maps[i].sum() == relevance[i].sum()`` up to the
            stabiliser.

        Raises
        ------
        DataError
            If an image cannot be decoded.
        ValueError
            If the relevance has another shape, or ``shown`` names an image that is not there.
        """
        rows = np.arange(len(images)) if shown is None else np.asarray(shown, dtype=np.int64)
        expected = (len(rows), self._head.in_features)
        if relevance.shape != expected:
            raise ValueError(f"relevance has the shape {relevance.shape}, not {expected}")
        if rows.size and not 0 <= rows.min() <= rows.max() < len(images):
            raise ValueError(f"a seed is on an image that is not among the {len(images)} given")
        maps = np.empty((len(rows), *self._preprocessing.size), dtype=np.float32)
        for start in range(0, len(rows), self.batch_size):
            chunk = slice(start, start + self.batch_size)
            distinct, first, positions = np.unique(rows[chunk], return_index=True, return_inverse=True)
            maps[chunk] = self._propagate(
                self._tensor([images[i] for i in distinct]),
                torch.from_numpy(np.ascontiguousarray(relevance[chunk])),
                torch.from_numpy(positions),
                torch.from_numpy(first),
            )
        return maps

    def shared_maps(self, image: Image, relevance: NDArray[np.floating]) -> NDArray[np.float32]:
        """Propagate many seeds to the pixels of one image.

        Parameters
        ----------
        image : Image
        relevance : NDArray
            R on the output of phi, shape (n, d).

        Returns
        -------
        NDArray[np.float32]
            Shape (n, H, W); the same as ``maps([image] * n, relevance)``.

        Raises
        ------
        DataError
            If the image cannot be decoded.
        ValueError
            If the relevance has another shape.
        """
        return self.maps([image], relevance, np.zeros(len(relevance), dtype=np.int64))

    def pair_maps(
        self, image: Image, partners: Sequence[Image], relevance: NDArray[np.floating]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Propagate the relevance of many pairs to both sides, in one pass through the network.

        Parameters
        ----------
        image : Image
            The image that all pairs share.
        partners : sequence of Image
            n images, the other side of each pair.
        relevance : NDArray
            R on the output of phi of both sides, shape (n, d).

        Returns
        -------
        on_image, on_partners : NDArray[np.float32]
            Shape (n, H, W) each; the same as ``shared_maps(image, relevance)`` and ``maps(partners, relevance)``.

        Raises
        ------
        DataError
            If an image cannot be decoded.
        ValueError
            If the relevance has another shape.
        """
        n = len(partners)
        shown = np.concatenate([np.zeros(n, dtype=np.int64), np.arange(1, n + 1)])
        maps = self.maps([image, *partners], np.concatenate([relevance, relevance]), shown)
        return maps[:n], maps[n:]

    def close(self) -> None:
        """Let go of the private copy and its rules."""
        self._ruled = nn.Identity()

    def __enter__(self) -> RelevanceModel:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _tensor(self, images: Sequence[Image]) -> torch.Tensor:
        return torch.from_numpy(self._preprocessing.array(images)).to(self._device, self._head.weight.dtype)

    def _propagate(
        self, images: torch.Tensor, seeds: torch.Tensor, rows: torch.Tensor, first: torch.Tensor
    ) -> NDArray[np.float32]:
        """Return the maps (n, H, W) of n seeds on m images; see ``Sharing.among`` for ``rows`` and ``first``."""
        seeds = seeds.to(images.device, images.dtype)
        with self._sharing.among(rows.to(images.device), first.to(images.device)), torch.enable_grad():
            batch = self._sharing.spread(images, len(seeds)).detach().requires_grad_()
            (pixels,) = torch.autograd.grad(self._ruled(batch), batch, seeds)
        maps: NDArray[np.float32] = pixels.sum(dim=1).float().cpu().numpy()
        return maps

    def _measure(self) -> float:
        """Set the batch size by what one image occupies, and see whether relevance is conserved on noise."""
        height, width = self._preprocessing.size
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn((_PROBES, self._preprocessing.channels, height, width), generator=generator)
        noise = noise.to(self._device, self._head.weight.dtype)
        occupied = 0

        def count(module: nn.Module, inputs: object, output: object) -> None:
            nonlocal occupied
            occupied += output.nbytes if isinstance(output, torch.Tensor) else 0

        handles = [module.register_forward_hook(count) for module in self._ruled.modules()]
        try:
            with torch.inference_mode():
                self._ruled(noise[:1])
        finally:
            for handle in handles:
                handle.remove()
        # a rule holds a few tensors of the size of its layer's output at a time
        self.batch_size = int(np.clip(_BYTES_AT_ONCE // (4 * max(1, occupied)), 1, _LARGEST_BATCH))
        errors = []
        only = torch.zeros(1, dtype=torch.int64)
        for image in torch.split(noise, 1):
            with torch.inference_mode():
                seed = self._ruled(image).abs()
            total = float(seed.sum())
            propagated = float(self._propagate(image, seed.clone(), only, only).sum())
            errors.append(abs(propagated - total) / total if total > 0 else 0.0)
        # on a single image the epsilon rule may lose more, where an output is zero but for its bias
        typical = float(np.median(errors))
        if not typical <= _CONSERVED:
            raise ConfigError(
                f"Heat-maps are not available for this network: relevance is not conserved through it ({typical:.1%} "
                "is lost or gained), so a map would not sum to its attribution; it computes something outside layers."
            )
        return typical
