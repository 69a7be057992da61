r"""Deletion test of heat-maps: whether the pixels that a map names carry the contribution (method section 10).

One side of a pair is damaged, the other side's features stay. The attribution is then linear in the damaged side's
features, ``f(x') = <weights, phi(x')>`` with ``weights = alpha_i^c z_i`` (test side) or ``alpha_i^c phi(x)`` (training
side), and ``f`` of the whole image is tau. Cells of the image are replaced in the order of a map; a map is right about
the place if ``f`` falls early, so the smaller the area under the curve the better. The area compares orders for one
image and one replacement; areas of different images, or of different replacements, say little about each other.

Source: Samek et al., *Evaluating the Visualization of What a Deep Neural Network Has Learned*, IEEE TNNLS 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn

FRACTIONS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0)
"""Shares of an image's cells that are replaced: fine at the start, where a good order lowers the curve."""

Features = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Computes phi: images (n, C, H, W), as the network takes them, to features (n, d)."""


def cell_numbers(size: tuple[int, int], cell: int) -> NDArray[np.int64]:
    """Return the number of each pixel's square cell, row by row; those at the right and lower edge may be smaller.

    Parameters
    ----------
    size : tuple of int
        (H, W).
    cell : int
        Side of a cell in pixels.

    Returns
    -------
    ndarray of int64, shape (H, W)
        From 0.
    """
    rows, columns = (np.arange(length) // cell for length in size)
    return np.asarray(rows[:, None] * (columns[-1] + 1) + columns, dtype=np.int64)


def cell_sums(values: NDArray[np.floating], cells: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum a map over each cell: two arrays (H, W), the second from ``cell_numbers``, to (n_cells,)."""
    return np.bincount(cells.ravel(), weights=values.ravel()).astype(np.float64)


def order_of(scores: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return cells by falling score, equal ones in random order: (n_cells,) to the cells' numbers, (n_cells,)."""
    return np.lexsort((rng.random(len(scores)), -scores))


def deleted(
    image: NDArray[np.float32],
    replacement: NDArray[np.float32],
    order: NDArray[np.int64],
    cells: NDArray[np.int64],
    fractions: Sequence[float] = FRACTIONS,
) -> NDArray[np.float32]:
    """Replace growing parts of an image.

    Parameters
    ----------
    image, replacement : ndarray of float32, shape (C, H, W)
    order : ndarray of int64, shape (n_cells,)
        The cells, the first one replaced first.
    cells : ndarray of int64, shape (H, W)
    fractions : sequence of float
        Shares of the cells to replace, rounded to whole cells.

    Returns
    -------
    ndarray of float32, shape (len(fractions), C, H, W)
    """
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    counts = np.rint(np.multiply(fractions, len(order)))
    gone = rank[cells] < counts[:, None, None]
    return np.where(gone[:, None], replacement, image)


def mean_colour(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an image of one colour, the mean of the given one: (C, H, W) to (C, H, W)."""
    return np.broadcast_to(image.mean(axis=(1, 2), keepdims=True), image.shape)


def blurred(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an image (C, H, W) after a Gaussian blur whose standard deviation is a tenth of its shorter side."""
    width = min(image.shape[1:]) / 10
    return np.asarray(ndimage.gaussian_filter(image, (0, width, width), mode="nearest"), dtype=np.float32)


def gradient_times_input(
    phi: nn.Module, images: NDArray[np.float32], weights: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Return gradient x input of ``<weights, phi(x)>``, the plain rival of relevance propagation.

    Parameters
    ----------
    phi : nn.Module
        Feature extractor in eval mode, on the CPU.
    images : ndarray of float32, shape (n, C, H, W)
        As the network takes them, so zero is the colour that its preprocessing subtracts.
    weights : ndarray of shape (n, d)

    Returns
    -------
    ndarray of float32, shape (n, H, W)
        Summed over the channels.
    """
    x = torch.from_numpy(images).clone().requires_grad_()
    with torch.enable_grad():
        values = (phi(x) * torch.from_numpy(np.asarray(weights, dtype=np.float32))).sum()
    (gradient,) = torch.autograd.grad(values, x)
    return np.asarray((gradient * x).sum(dim=1).detach().numpy())


def curves(
    features: Features,
    image: NDArray[np.float32],
    replacement: NDArray[np.float32],
    weights: NDArray[np.floating],
    orders: Sequence[NDArray[np.int64]],
    cells: NDArray[np.int64],
    fractions: Sequence[float] = FRACTIONS,
) -> NDArray[np.float64]:
    """Return ``<weights, phi(x')>`` while an image is replaced in several orders, relative to the whole image's.

    Parameters
    ----------
    features : callable
        phi.
    image, replacement : ndarray of float32, shape (C, H, W)
    weights : ndarray of shape (d,)
    orders : sequence of ndarray of int64, shape (n_cells,)
    cells : ndarray of int64, shape (H, W)
    fractions : sequence of float
        From 0 to 1, ascending, both included.

    Returns
    -------
    ndarray of float64, shape (len(orders), len(fractions))
        Each curve starts at 1; all of them end at the same value.
    """
    # nothing or everything replaced is the same for every order
    between = fractions[1:-1]
    steps = [deleted(image, replacement, order, cells, between) for order in orders]
    found = features(np.concatenate([image[None], replacement[None], *steps])).astype(np.float64) @ weights
    values = np.empty((len(orders), len(fractions)))
    values[:, 0], values[:, -1] = found[0], found[1]
    values[:, 1:-1] = found[2:].reshape(len(orders), len(between))
    return np.asarray(values / found[0])


def area(values: NDArray[np.floating], fractions: Sequence[float] = FRACTIONS) -> NDArray[np.float64]:
    """Return the area under curves by the trapezoid rule: (..., len(fractions)) to (...)."""
    return np.asarray(np.trapezoid(values, fractions, axis=-1))
