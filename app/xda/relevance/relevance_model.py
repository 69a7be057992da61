"""Heat-maps: relevance on the features of an image, propagated back to its pixels (method section 4).

For a pair of test image x and training image x_i the relevance R_k = alpha_i^c phi_k(x) phi_k(x_i) is put on the output
of phi and propagated by zennit's ``EpsilonPlusFlat(zero_params="bias")``; channels are summed. Each map then sums to
sum_k R_k = tau_i(x, c), up to the stabiliser. Biases get no relevance because with them that sum would not hold.

A network has heat-maps if each of its operations has a rule and its maps, measured on images, add up. Otherwise the
model gives the reason and still computes features.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from zennit.composites import EpsilonPlusFlat

from xda.errors import ConfigError, NoHeatmapsError
from xda.networks.heads import split_head
from xda.networks.refusals import REFUSED
from xda.relevance.canonize import canonize
from xda.relevance.propagation import Propagator
from xda.relevance.tracing import trace

Image = bytes | NDArray[np.floating]
"""An image as the model's preparation takes it: an image file, or preprocessed pixels."""

_BYTES_AT_ONCE = 512 * 2**20
_LARGEST_BATCH = 256
_LARGEST_WITHOUT_MAPS = 16
_PROBES = 3
_CONSERVED = 1e-3
"""Largest allowed loss or gain of relevance, relative to its sum."""
_FAINT = 1e-3
"""Below this size of features the rules' stabiliser of 1e-6 takes more than a thousandth of the relevance."""
_SAME = 1e-3
"""Largest allowed deviation of the canonical form's features, relative to the largest feature."""


class Preparation(Protocol):
    """The preparation of images for the network: ``xda.data.preprocessing``, or ``xda.data.tensors``."""

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the network's input."""

    @property
    def channels(self) -> int:
        """Number of channels, C."""

    def array(self, images: Sequence[Any], /) -> NDArray[np.float32]:
        """Return images as the network takes them, shape (B, C, H, W)."""


class RelevanceModel:
    """A network with the rules for its heat-maps, prepared once and kept.

    The given network is moved to the device, put into eval mode and otherwise left alone: the rules live on a private
    copy of its feature extractor. Not thread-safe.

    Parameters
    ----------
    network : nn.Module
        Classifier with a linear head.
    preprocessing : Preparation
        Its preprocessing; decides whether the images below are image files or preprocessed pixels.
    device : torch.device
    composite : {"EpsilonPlusFlat"}
        The only one offered.

    Attributes
    ----------
    refusal : str
        The reason for missing heat-maps in one sentence; empty if there are heat-maps.
    composite : str
        Rules and canonizers in words, for the manifest; empty without heat-maps.
    conservation_error : float
        |sum of map - sum of relevance| / sum of relevance, median over images of noise; NaN if it was not measured.
    batch_size : int
        Images that go through the network at a time, so that memory stays bounded.

    Raises
    ------
    ConfigError
        If the composite is unknown or the network has no linear head.
    """

    refusal: str
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
        self.refusal = self.composite = ""
        self.conservation_error = float("nan")
        self.batch_size = _LARGEST_WITHOUT_MAPS
        self._seeds_at_once = 1
        self._propagator: Propagator | None = None
        noise = self._noise()
        try:
            canonized = canonize(trace(self._phi, noise[:2]), EpsilonPlusFlat(zero_params="bias"))
            self._propagator = Propagator(canonized)
            self._measure(noise)
            self.composite = ", ".join(filter(None, ("EpsilonPlusFlat(zero_params='bias')", canonized.name)))
        except ConfigError as error:
            self._propagator = None
            self.refusal = str(error)

    @property
    def n_features(self) -> int:
        """Number of features, d."""
        return self._head.in_features

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the network's input and of every map."""
        return self._preprocessing.size

    def features(self, images: Sequence[Image]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Compute features and logits of images, as ``features.extract_batches`` does.

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
        NoHeatmapsError
            If there are no heat-maps for this network; see ``refusal``.
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
        distinct, positions = np.unique(rows, return_inverse=True)
        for start in range(0, len(distinct), self.batch_size):
            chosen = distinct[start : start + self.batch_size]
            on_these = np.flatnonzero((start <= positions) & (positions < start + len(chosen)))
            maps[on_these] = self._propagate(
                self._tensor([images[i] for i in chosen]),
                torch.from_numpy(np.ascontiguousarray(relevance[on_these])),
                torch.from_numpy(positions[on_these] - start),
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
        self._propagator = None

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

    def _propagate(self, images: torch.Tensor, seeds: torch.Tensor, rows: torch.Tensor) -> NDArray[np.float32]:
        """Return the maps (n, H, W) of n seeds, each on one of the m images."""
        if self._propagator is None:
            raise NoHeatmapsError(self.refusal or "The heat-maps of this network are closed; open the model again.")
        seeds, rows = seeds.to(images.device, images.dtype), rows.to(images.device)
        recording = self._propagator.record(images)
        maps = np.empty((len(seeds), *images.shape[2:]), dtype=np.float32)
        for start in range(0, len(seeds), self._seeds_at_once):
            chunk = slice(start, start + self._seeds_at_once)
            pixels = self._propagator.propagate(recording, seeds[chunk], rows[chunk])
            maps[chunk] = pixels.sum(dim=1).float().cpu().numpy()
        return maps

    def _noise(self) -> torch.Tensor:
        height, width = self._preprocessing.size
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn((_PROBES, self._preprocessing.channels, height, width), generator=generator)
        return noise.to(self._device, self._head.weight.dtype)

    def _measure(self, noise: torch.Tensor) -> None:
        """Set the batch size by one image's memory; check that features stay the same and relevance is conserved.

        Raises
        ------
        ConfigError
            If a check fails.
        """
        assert self._propagator is not None
        occupied = self._propagator.record(noise[:1]).nbytes
        self.batch_size = int(np.clip(_BYTES_AT_ONCE // max(1, occupied), 1, _LARGEST_BATCH))
        # a backward pass holds the relevance of a few layers at a time; a forward pass keeps all layers' values
        self._seeds_at_once = int(np.clip(4 * self.batch_size, 1, _LARGEST_BATCH))
        errors, largest = [], 0.0
        only = torch.zeros(1, dtype=torch.int64, device=noise.device)
        for image in torch.split(noise, 1):
            with torch.inference_mode():
                features = self._phi(image)
            recording = self._propagator.record(image)
            deviation = float((recording.features - features).abs().max())
            if not deviation <= _SAME * float(features.abs().max()):
                raise ConfigError(
                    f"{REFUSED}its canonical form, which the rules need, computes something else (features differ by "
                    f"{deviation:.2g}); its forward pass depends on more than its layers."
                )
            largest = max(largest, float(recording.features.abs().max()))
            seed = recording.features.square()
            total = float(seed.sum(dtype=torch.float64))
            propagated = float(self._propagator.propagate(recording, seed, only).sum(dtype=torch.float64))
            errors.append(abs(propagated - total) / total if total > 0 else 0.0)
        # on a single image the rules may lose more, if only an output's bias is not zero
        self.conservation_error = float(np.median(errors))
        if not self.conservation_error <= _CONSERVED:
            raise ConfigError(
                f"{REFUSED}relevance is not conserved through it ({self.conservation_error:.2%} is lost or gained, at "
                f"most {_CONSERVED:.1%} may), so that a map would not sum to its attribution."
                + (
                    f" Its features are at most {largest:.0e}, so small that the rules' stabiliser of 1e-06 takes the "
                    "relevance: usual where a network was not trained and its batch norms know no statistics."
                    if largest < _FAINT
                    else ""
                )
            )
