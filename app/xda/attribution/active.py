r"""The samples at which the smoothed hinge of a surrogate is curved, and the products with their directions.

In: features, labels and weights of a fitted surrogate. Out: for each sample i that counts, its label y, its rival m and
the curvature of the hinge there, smoothed by the width h (method section 7, effect of removal):

.. math::

    \mu_i = w_{y_i} \cdot z_i - \max_{m \ne y_i} w_m \cdot z_i, \qquad
    w_i = \frac{C}{4 h \cosh^2((\mu_i - 1) / 2h)}, \qquad b_i = (e_{y_i} - e_{m_i}) \otimes z_i
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

HINGE_WIDTH = 0.1
"""h, the width by which the hinge is smoothed; chosen once by trials (method section 7), not to be tuned."""

NEGLIGIBLE = 1e-6
"""Samples that add less than this to the norm of H, all together, are left out; the relative error of u is below it."""

BLOCK_VALUES = 1 << 20
"""Features turned into float64 at a time: 8 MiB."""

Report = Callable[[int, int], None]
"""Is told how many parts of a computation are done, and their total."""


@dataclass(frozen=True, slots=True)
class ActiveSamples:
    """The samples whose hinge is curved, grouped by label and rival.

    Attributes
    ----------
    index : ndarray of int64, shape (n,)
        Positions in the training set, all different.
    label, rival : ndarray of int64, shape (n,)
        y_i and m_i; ascending by (label, rival).
    weight : ndarray of float64, shape (n,)
        w_i, positive.
    """

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    rival: NDArray[np.int64]
    weight: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.index)

    def groups(self) -> Iterator[tuple[int, int, slice]]:
        """Yield each pair of label and rival that occurs, with its consecutive samples."""
        if not len(self):
            return
        edges = np.flatnonzero((np.diff(self.label) != 0) | (np.diff(self.rival) != 0)) + 1
        for start, stop in zip([0, *edges.tolist()], [*edges.tolist(), len(self)], strict=True):
            yield int(self.label[start]), int(self.rival[start]), slice(start, stop)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that ``from_arrays`` reads; the labels are those of the training set."""
        return {"active": self.index, "rival": self.rival, "weight": self.weight}

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray[Any]], labels: NDArray[np.int64], n_classes: int
    ) -> ActiveSamples:
        """Return the samples of stored arrays.

        Raises
        ------
        ValueError
            They name samples or classes that do not exist, are in another order, or have a weight that is not positive.
        """
        index, rival, weight = (np.asarray(arrays[name]) for name in ("active", "rival", "weight"))
        if len(index) and not 0 <= index.min() <= index.max() < len(labels):
            raise ValueError(f"removal/active names samples that are not among the {len(labels)} training images")
        label = labels[index]
        if len(index) and not (0 <= rival.min() <= rival.max() < n_classes and (rival != label).all()):
            raise ValueError(f"removal/rival names classes that are not the {n_classes - 1} others of a sample")
        pair = label * n_classes + rival
        if (np.diff(pair) < 0).any() or len(np.unique(index)) != len(index):
            raise ValueError("removal/active is not in the order of label and rival")
        if not (np.isfinite(weight).all() and (weight > 0).all()):
            raise ValueError("removal/weight has values that are not positive numbers")
        return cls(index.astype(np.int64), label, rival.astype(np.int64), weight.astype(np.float64))


def curvatures(margins: NDArray[np.float64], c: float, width: float = HINGE_WIDTH) -> NDArray[np.float64]:
    """Return ``w_i = C / (4 h cosh^2((mu_i - 1) / 2h))`` of margins, in their shape."""
    # 1 / (4 cosh^2(t / 2)) = e^-|t| / (1 + e^-|t|)^2, which does not overflow.
    decayed = np.exp(-np.abs((margins - 1.0) / width))
    return np.asarray(c / width * decayed / np.square(1.0 + decayed))


def active_samples(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    coef: NDArray[np.float64],
    c: float,
    *,
    width: float = HINGE_WIDTH,
    report: Report | None = None,
) -> ActiveSamples:
    """Find the samples whose hinge is curved enough to count.

    Parameters
    ----------
    features : ndarray of float32, shape (N, d)
        May be memory-mapped; read a block at a time.
    labels : ndarray of int64, shape (N,)
    coef : ndarray of float64, shape (K, d), or (K, d + 1) with an augmented intercept
    c : float
        Regularisation parameter.
    width : float
        h.
    report : callable, optional
        Told how many samples were looked at.

    Returns
    -------
    ActiveSamples
    """
    n, d = features.shape
    rival, weight, size = np.empty(n, dtype=np.int64), np.empty(n), np.empty(n)
    apart, offset = coef[:, d:].sum(axis=1), float(coef.shape[1] - d)
    step = max(1, BLOCK_VALUES // max(d, len(coef)))
    for start in range(0, n, step):
        part = slice(start, min(n, start + step))
        block = np.asarray(features[part], dtype=np.float64)
        scores = block @ coef[:, :d].T + apart
        rows, own = np.arange(len(block)), labels[part]
        margin = scores[rows, own]
        scores[rows, own] = -np.inf
        rival[part] = scores.argmax(axis=1)
        weight[part] = curvatures(margin - scores[rows, rival[part]], c, width)
        size[part] = 2.0 * (np.square(block).sum(axis=1) + offset)
        if report is not None:
            report(part.stop, n)
    # |w_i b_i b_i^T| = 2 w_i |z_i|^2
    norms = weight * size
    ascending = np.argsort(norms, kind="stable")
    index = ascending[np.searchsorted(np.cumsum(norms[ascending]), NEGLIGIBLE, side="right") :]
    index = index[np.lexsort((index, rival[index], labels[index]))]
    return ActiveSamples(index, labels[index], rival[index], weight[index])


class Directions:
    """Products with ``b_i`` of the active samples, without forming the K d x n matrix.

    Parameters
    ----------
    active : ActiveSamples
    features : ndarray of float32, shape (n, d)
        Of the active samples, as :func:`rows_of` returns them.
    n_classes : int
    dtype : dtype
        Type to compute in.
    """

    def __init__(
        self, active: ActiveSamples, features: NDArray[np.float32], n_classes: int, dtype: DTypeLike = np.float64
    ) -> None:
        self.active = active
        self.features = features
        self.n_classes = n_classes
        self._dtype = dtype
        self._groups = tuple(active.groups())

    @property
    def width(self) -> int:
        """Number of features, the constant one included."""
        return int(self.features.shape[1])

    def with_query(self, query: NDArray[np.float64], target: int, against: int | None) -> NDArray[np.float64]:
        """Return ``b_i . q`` with ``q = (e_c - e_e) x phi``, shape (n,)."""
        found = np.zeros(len(self.active))
        for label, rival, part in self._groups:
            sign = _sign(label, rival, target) - (0 if against is None else _sign(label, rival, against))
            if sign:
                found[part] = sign * (self._block(part) @ query.astype(self._dtype))
        return found

    def forward(self, u: NDArray[Any]) -> NDArray[np.float64]:
        """Return ``b_i . u`` for u of shape (K, d), shape (n,)."""
        u = u.astype(self._dtype, copy=False)
        found = np.empty(len(self.active))
        for label, rival, part in self._groups:
            found[part] = self._block(part) @ (u[label] - u[rival])
        return found

    def backward(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ``sum_i v_i b_i``, shape (K, d)."""
        found = np.zeros((self.n_classes, self.width))
        values = values.astype(self._dtype, copy=False)
        for label, rival, part in self._groups:
            moved = values[part] @ self._block(part)
            found[label] += moved
            found[rival] -= moved
        return found

    def _block(self, part: slice) -> NDArray[Any]:
        return self.features[part].astype(self._dtype, copy=False)


def rows_of(features: NDArray[np.float32], index: NDArray[np.int64], augment: bool) -> NDArray[np.float32]:
    """Return the features of some samples, with a constant 1 behind each if there is an intercept."""
    chosen = np.asarray(features[index], dtype=np.float32)
    return np.column_stack([chosen, np.ones(len(chosen), dtype=np.float32)]) if augment else chosen


def _sign(label: int, rival: int, number: int) -> int:
    return int(label == number) - int(rival == number)
