"""The precomputed sparse attribution index: the strongest contributions of each sign for every test image.

For the class that the network predicts on a test image the index holds the ``per_sign`` strongest supporting and
opposing support vectors with their attributions, and the exact totals and counts over *all* training samples. It is a
set of plain arrays, which storage writes and maps without knowing their meaning; ``AttributionIndex`` reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xda.attribution.decomposition import attributions
from xda.attribution.ranking import SIGNS, Ranking, Sign, rank
from xda.attribution.sparsity import sparsity
from xda.attribution.support import SupportSet

BLOCK_VALUES = 1 << 24
"""Building an index holds at most so many contributions at once: 128 MiB in float64."""

Products = Callable[[NDArray[np.int64], NDArray[np.float32]], NDArray[np.float64]]
"""``products(rows, queries)``: inner products of support vectors with queries, (m,) x (n, d) -> (m, n)."""


@dataclass(frozen=True, slots=True)
class AttributionIndex:
    """Read access to the arrays of an index.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        The arrays that :func:`build_index` returns; they may be memory-mapped.
    per_sign : int
        Contributions kept of each sign.
    """

    arrays: Mapping[str, NDArray[Any]]
    per_sign: int

    def check(self, n_support: int) -> None:
        """Refuse offsets and positions that lead outside the arrays or the support set; storage has checked the shapes.

        Raises
        ------
        ValueError
            The message names the array.
        """
        for sign in SIGNS:
            indptr, position = self.arrays[f"indptr_{sign}"], self.arrays[f"position_{sign}"]
            if indptr[0] != 0 or (np.diff(indptr) < 0).any() or indptr[-1] != len(position):
                raise ValueError(f"index/indptr_{sign} does not divide index/position_{sign}")
            if len(position) and not 0 <= position.min() <= position.max() < n_support:
                raise ValueError(f"index/position_{sign} names support vectors that are not among the {n_support}")

    def entry(self, test: int, sign: Sign) -> Ranking:
        """Return the entry of a test image and a sign."""
        arrays = self.arrays
        indptr = arrays[f"indptr_{sign}"]
        part = slice(int(indptr[test]), int(indptr[test + 1]))
        return Ranking(
            position=arrays[f"position_{sign}"][part],
            attribution=arrays[f"attribution_{sign}"][part],
            total=float(arrays[f"sum_{sign}"][test]),
            count=int(arrays[f"count_{sign}"][test]),
        )


def build_index(
    support: SupportSet,
    products: Products,
    queries: NDArray[np.float32],
    targets: NDArray[np.int64],
    *,
    per_sign: int = 128,
    block: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, NDArray[Any]]:
    """Rank and sum the contributions to every test image.

    Parameters
    ----------
    support : SupportSet
    products : callable
        Inner products of support vectors (by position) with queries, computed on any device.
    queries : ndarray of float32, shape (n_test, d)
        Features of the test images.
    targets : ndarray of int64, shape (n_test,)
        Class to explain for each: the network's prediction.
    per_sign : int
        Contributions kept of each sign.
    block : int
        Test images of one class treated at once; fewer where these are more than ``BLOCK_VALUES`` contributions.
    progress : callable, optional
        Called with the number of test images done and their total.

    Returns
    -------
    dict of str to ndarray
        The sparsity figures ``l0`` and ``hoyer`` (n_test,); for each
        sign ``indptr`` (n_test + 1,), ``position`` and ``attribution`` (nnz,), ``sum`` and ``count`` (n_test,).
    """
    n_test = len(queries)
    sums = {sign: np.zeros(n_test) for sign in SIGNS}
    counts = {sign: np.zeros(n_test, dtype=np.int64) for sign in SIGNS}
    l0, hoyer = np.zeros(n_test), np.zeros(n_test)
    listed: dict[Sign, list[tuple[NDArray[np.integer], NDArray[np.float64]]]] = {
        sign: [(np.empty(0, np.int64), np.empty(0))] * n_test for sign in SIGNS
    }
    done = 0
    for members, target in _blocks(targets, block, support):
        rows, weights = support.weights(target)
        values = attributions(weights, products(rows, queries[members]))
        for column, test in enumerate(members.tolist()):
            value = np.ascontiguousarray(values[:, column])
            figures = sparsity(value, support.n_train)
            l0[test], hoyer[test] = figures.l0, figures.hoyer
            for sign, factor in SIGNS.items():
                found = rank(rows, value, per_sign, sign=factor)
                sums[sign][test], counts[sign][test] = found.total, found.count
                listed[sign][test] = found.position, found.attribution
        done += len(members)
        if progress is not None:
            progress(done, n_test)
    position_dtype = np.min_scalar_type(max(len(support) - 1, 0))
    arrays: dict[str, NDArray[Any]] = {"l0": l0, "hoyer": hoyer}
    for sign in SIGNS:
        lengths = [len(position) for position, _ in listed[sign]]
        arrays[f"indptr_{sign}"] = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        arrays[f"position_{sign}"] = np.concatenate([p for p, _ in listed[sign]]).astype(position_dtype)
        arrays[f"attribution_{sign}"] = np.concatenate([v for _, v in listed[sign]])
        arrays[f"sum_{sign}"] = sums[sign]
        arrays[f"count_{sign}"] = counts[sign]
    return arrays


def _blocks(targets: NDArray[np.int64], block: int, support: SupportSet) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Yield blocks of test images that share their target."""
    for target in np.unique(targets).tolist():
        members = np.flatnonzero(targets == target)
        size = max(1, min(block, BLOCK_VALUES // max(1, len(support.weights(target)[0]))))
        for start in range(0, len(members), size):
            yield members[start : start + size], target
