"""The content of a figure: one explanation with its images and heat-maps as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xda.attribution.results import Explanation, PairRelevance
from xda.data.decoding import decode
from xda.data.geometry import Resizing
from xda.decision import Decision

if TYPE_CHECKING:
    from xda.explanation.run import Explainer


@dataclass(frozen=True, slots=True)
class Panel:
    """One explanation with its images and heat-maps, ready to be drawn.

    Pictures are (H, W) or (H, W, 3): uint8, or floating-point from 0 to 1.
    """

    explanation: Explanation
    classes: tuple[str, ...]
    test_image: NDArray[Any]
    train_images: Mapping[int, NDArray[Any]]
    """One for each listed training image, by its index."""
    own_map: NDArray[np.float32]
    """The test image's own heat-map, shape (H, W)."""
    pairs: Mapping[int, PairRelevance]
    """By training image."""
    resizing: Resizing | None = None
    """Says which part of an image its heat-map covers; None: the whole image."""


def run_panel(explainer: Explainer, decision: Decision, *, limit: int = 4) -> Panel:
    """Return the content of a run's figure; parameters and errors as for ``Explainer.explain``."""
    told = explainer.explain(decision, limit=limit)
    own = explainer.own_relevance(decision)
    pairs = explainer.relevance(decision, told.listed)
    return Panel(
        explanation=told,
        classes=tuple(explainer.classes),
        test_image=_decoded(explainer.image("test", decision.test)[0]),
        train_images={index: _decoded(explainer.image("train", index)[0]) for index in told.listed},
        own_map=own.result()[0].test,
        pairs={pair.train_index: pair for pair in pairs.result()},
        resizing=explainer.preprocessing,
    )


def displayable(pixels: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scale a network's input to an image for people: the smallest value becomes 0, the largest 1.

    Parameters
    ----------
    pixels : ndarray, shape (C, H, W)

    Returns
    -------
    ndarray of float32
        Shape (H, W, 3) for three channels, else (H, W), the mean of the channels.
    """
    low, high = float(np.min(pixels)), float(np.max(pixels))
    scaled = (np.asarray(pixels, dtype=np.float32) - low) / (high - low) if high > low else np.zeros_like(pixels)
    return np.asarray(np.moveaxis(scaled, 0, -1) if len(pixels) == 3 else scaled.mean(axis=0), dtype=np.float32)


def _decoded(encoded: bytes) -> NDArray[np.uint8]:
    return np.asarray(decode(encoded, "RGB"))
