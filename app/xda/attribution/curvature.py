r"""The curvature of a surrogate with a smoothed hinge, inverted: the way from a query to the effects of removals.

In: the active samples of a surrogate (:mod:`xda.attribution.active`). Out: for a query the solution of

.. math::

    H u = q, \qquad H = I + \sum_i w_i b_i b_i^\top, \qquad q = (e_c - e_e) \otimes \varphi(x)

(method section 7, effect of removal). H has K d rows. There are three ways, and :func:`choose` takes the smallest:

* :class:`InClasses`: the inverse of H, in float32, by blocks of two classes. A query reads one block column.
* :class:`InSamples`: with fewer active samples n than K d, the inverse of the n x n matrix ``I + A^T A`` with
  ``A = (sqrt(w_i) b_i)``, and ``u = q - A (I + A^T A)^-1 A^T q`` (Woodbury), in float64: the difference cancels.
* :class:`ByIteration`: where both are large, conjugate gradients on H, never formed, preconditioned by the inverse
  of H on the leading directions of the features. The error is bounded: ``|u - u*| <= |r|`` for a residual r.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.linalg import blas, lapack

from xda.attribution.active import ActiveSamples, Directions, Report, rows_of

LARGEST = 6144
"""Matrices with more rows are not factored: 300 MB in float64 while it is done, and some ten seconds on two cores."""

TOLERANCE = 1e-3
"""Relative error of u at which conjugate gradients stop."""

ROUNDING = 1e-13
"""This share of the trace is added to the diagonal, so that rounding cannot make a matrix indefinite at a huge C."""

MOMENT_ROWS = 4096
MOST_STEPS = 500
"""Conjugate gradients end after so many steps; the error is stated all the same."""


@dataclass(frozen=True, slots=True)
class Response:
    """The solution of ``H u = q``."""

    u: NDArray[np.float64]
    """Shape (K, d), or (K, d + 1) with an augmented intercept."""
    error: float
    """Bound of ``|u - u*| / |u|`` if u was found by iteration; 0 where H was inverted (float32: about 1e-6)."""


class Curvature(Protocol):
    """Solves ``H u = q``."""

    def solve(self, query: NDArray[np.float64], target: int, against: int | None) -> Response:
        """Return u for the query ``(e_c - e_e) x phi``, phi of shape (d,), or (d + 1,) with its constant 1."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that :func:`restore` reads."""


class InClasses:
    """The inverse of H by blocks of two classes.

    Parameters
    ----------
    blocks : ndarray of float32, shape (K (K + 1) / 2, d, d)
        The block of the classes (m, k), m >= k, is number ``m (m + 1) / 2 + k``.
    """

    def __init__(self, blocks: NDArray[np.float32]) -> None:
        self._blocks = blocks
        self._n_classes = int(np.sqrt(2 * len(blocks)))

    @classmethod
    def invert(cls, directions: Directions, report: Report | None = None) -> InClasses:
        """Assemble and invert H."""
        n_classes, d = directions.n_classes, directions.width
        by_class = _inverse_of_all(directions, report).T.reshape(n_classes, d, n_classes, d)
        blocks = np.empty((n_classes * (n_classes + 1) // 2, d, d), dtype=np.float32)
        for m in range(n_classes):
            for k in range(m + 1):
                block = by_class[m, :, k]
                blocks[m * (m + 1) // 2 + k] = np.tril(block) + np.tril(block, -1).T if m == k else block
        return cls(blocks)

    def solve(self, query: NDArray[np.float64], target: int, against: int | None) -> Response:
        """Return u; see ``Curvature.solve``."""
        u = self._column(target, query)
        return Response(u if against is None else u - self._column(against, query), 0.0)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that :func:`restore` reads."""
        return {"inverse_blocks": self._blocks}

    def _column(self, number: int, query: NDArray[np.float64]) -> NDArray[np.float64]:
        narrow = query.astype(np.float32)
        found = np.empty((self._n_classes, len(query)))
        for m in range(self._n_classes):
            if m >= number:
                found[m] = self._blocks[m * (m + 1) // 2 + number] @ narrow
            else:
                found[m] = narrow @ self._blocks[number * (number + 1) // 2 + m]
        return found


class InSamples:
    """The inverse of ``I + A^T A``.

    Parameters
    ----------
    directions : Directions
        In float64.
    packed : ndarray of float64, shape (n (n + 1) / 2,)
        The inverse's lower triangle, packed as LAPACK does.
    """

    def __init__(self, directions: Directions, packed: NDArray[np.float64]) -> None:
        self._directions = directions
        self._packed = packed
        self._root = np.sqrt(directions.active.weight)

    @classmethod
    def invert(cls, directions: Directions, report: Report | None = None) -> InSamples:
        """Assemble and invert ``I + A^T A``."""
        active, n = directions.active, len(directions.active)
        if not n:
            return cls(directions, np.empty(0))
        signs = np.zeros((n, directions.n_classes), dtype=np.float32)
        signs[np.arange(n), active.label] = 1.0
        signs[np.arange(n), active.rival] = -1.0
        rows = directions.features.astype(np.float64)
        rows *= np.sqrt(active.weight)[:, None]
        gram = rows @ rows.T
        gram *= signs @ signs.T
        gram[np.diag_indices(n)] += 1.0 + ROUNDING * float(np.trace(gram))
        _report(report, 1, 3)
        inverse = _inverted(gram.T, lower=True)
        packed, info = lapack.dtrttp(inverse, uplo="L")
        _check(info)
        _report(report, 1, 1)
        return cls(directions, packed)

    def solve(self, query: NDArray[np.float64], target: int, against: int | None) -> Response:
        """Return u; see ``Curvature.solve``."""
        q = _spread(query, target, against, self._directions.n_classes)
        if not len(self._root):
            return Response(q, 0.0)
        right = self._root * self._directions.with_query(query, target, against)
        solved = blas.dspmv(len(right), 1.0, self._packed, right, lower=1)
        return Response(q - self._directions.backward(self._root * solved), 0.0)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that :func:`restore` reads."""
        return {**self._directions.active.arrays(), "inverse_packed": self._packed}


class ByIteration:
    """Conjugate gradients on ``H u = q``, preconditioned by H on the leading directions of the features.

    The preconditioner solves exactly for features projected on a few directions, those of the largest weighted second
    moment, which the strong curvature lies in; beyond them it divides by one number for each class.

    Parameters
    ----------
    directions : Directions
        In float32, since a product reads all active samples.
    leading : ndarray of float32, shape (K r (K r + 1) / 2,)
        The inverse of H for projected features, its upper triangle packed as LAPACK does.
    basis : ndarray of float32, shape (d, r)
        Orthonormal directions.
    rest : ndarray of float64, shape (K,)
        Mean eigenvalue of H beyond them, at least 1.
    tolerance : float
        Stop at this bound of ``|u - u*| / |u|``.
    """

    def __init__(
        self,
        directions: Directions,
        leading: NDArray[np.float32],
        basis: NDArray[np.float32],
        rest: NDArray[np.float64],
        tolerance: float = TOLERANCE,
    ) -> None:
        self._directions = directions
        self._leading = leading
        self._basis = basis
        self._rest = rest
        self._tolerance = tolerance

    @classmethod
    def prepare(
        cls,
        directions: Directions,
        largest: int = LARGEST,
        tolerance: float = TOLERANCE,
        report: Report | None = None,
    ) -> ByIteration:
        """Find the leading directions, as many as make a matrix of ``largest`` rows, and invert H on them."""
        active, d, n_classes = directions.active, directions.width, directions.n_classes
        moment = np.zeros((d, d))
        for start in range(0, len(active), MOMENT_ROWS):
            part = slice(start, start + MOMENT_ROWS)
            rows = directions.features[part] * np.sqrt(active.weight[part])[:, None]
            moment += rows.T @ rows
        _, vectors = linalg.eigh(moment)
        basis = vectors[:, ::-1][:, : max(1, min(d, largest // n_classes))].astype(np.float32)
        projected = Directions(active, directions.features @ basis, n_classes)
        lost = np.square(directions.features, dtype=np.float64).sum(axis=1)
        lost -= np.square(projected.features, dtype=np.float64).sum(axis=1)
        lost = active.weight * np.maximum(lost, 0.0) / max(1, d - basis.shape[1])
        rest = np.ones(n_classes)
        for side in (active.label, active.rival):
            rest += np.bincount(side, lost, n_classes)
        packed, info = lapack.dtrttp(_inverse_of_all(projected, report), uplo="U")
        _check(info)
        return cls(directions, packed.astype(np.float32), basis, rest, tolerance)

    def solve(self, query: NDArray[np.float64], target: int, against: int | None) -> Response:
        """Return u; see ``Curvature.solve``. ``|u - u*| <= |r|`` for the residual r, since ``H >= I``."""
        residual = _spread(query, target, against, self._directions.n_classes)
        u, step, rho = np.zeros_like(residual), np.zeros_like(residual), 1.0
        error = 1.0
        for _ in range(MOST_STEPS):
            scaled = self._preconditioned(residual)
            rho, before = float(np.vdot(residual, scaled)), rho
            if rho <= 0.0:
                break
            step = scaled + rho / before * step
            image = step + self._directions.backward(self._directions.active.weight * self._directions.forward(step))
            length = rho / float(np.vdot(step, image))
            u += length * step
            residual -= length * image
            error = float(np.linalg.norm(residual) / np.linalg.norm(u))
            if error <= self._tolerance:
                break
        return Response(u, error)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that :func:`restore` reads."""
        return {
            **self._directions.active.arrays(),
            "leading_packed": self._leading,
            "leading_basis": self._basis,
            "rest": self._rest,
        }

    def _preconditioned(self, residual: NDArray[np.float64]) -> NDArray[np.float64]:
        basis = self._basis.astype(np.float64)
        inside = residual @ basis
        solved = blas.sspmv(inside.size, 1.0, self._leading, inside.ravel(), lower=0).reshape(inside.shape)
        return np.asarray((residual - inside @ basis.T) / self._rest[:, None] + solved @ basis.T)


WAYS = (InClasses, InSamples, ByIteration)


def choose(
    active: ActiveSamples,
    features: NDArray[np.float32],
    n_classes: int,
    *,
    augment: bool = False,
    largest: int = LARGEST,
    report: Report | None = None,
) -> Curvature:
    """Invert H in the smaller way, or prepare to iterate.

    Parameters
    ----------
    active : ActiveSamples
    features : ndarray of float32, shape (N, d)
        Of all training samples, possibly memory-mapped.
    n_classes : int
    augment : bool
        The surrogate has an augmented intercept.
    largest : int
        Rows of the largest matrix to invert.
    report : callable, optional
        Told how much is done.
    """
    size, n = n_classes * (features.shape[1] + augment), len(active)
    rows = rows_of(features, active.index, augment)
    # The packed float64 triangle of n rows takes as much room as the float32 one of sqrt(2) n rows.
    if size <= largest and size * size <= 2 * n * n:
        return InClasses.invert(Directions(active, rows, n_classes), report)
    if n <= largest:
        return InSamples.invert(Directions(active, rows, n_classes), report)
    return ByIteration.prepare(Directions(active, rows, n_classes, np.float32), largest, report=report)


def restore(
    arrays: Mapping[str, NDArray[Any]],
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    n_classes: int,
    *,
    augment: bool = False,
) -> Curvature:
    """Return the curvature of stored arrays.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        As ``Curvature.arrays`` returned them; they may be memory-mapped. Their types and the shapes that the number of
        classes and features gives are checked.
    features, labels, n_classes, augment
        As for :func:`choose` and :func:`xda.attribution.active.active_samples`.

    Raises
    ------
    ValueError
        The arrays contradict each other or the training set; the message names the array.
    """
    for name, values in arrays.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(f"removal/{name} has values that are not finite")
    if "inverse_blocks" in arrays:
        return InClasses(arrays["inverse_blocks"])
    for name in ("active", "rival", "weight"):
        _needed(arrays, name)
    active = ActiveSamples.from_arrays(arrays, labels, n_classes)
    rows = rows_of(features, active.index, augment)
    if "inverse_packed" in arrays:
        packed = _needed(arrays, "inverse_packed", _triangle(len(active)))
        return InSamples(Directions(active, rows, n_classes), packed)
    basis, rest = _needed(arrays, "leading_basis"), _needed(arrays, "rest")
    packed = _needed(arrays, "leading_packed", _triangle(n_classes * basis.shape[1]))
    if (rest < 1.0).any():
        raise ValueError("removal/rest has values below 1")
    return ByIteration(Directions(active, rows, n_classes, np.float32), packed, basis, rest)


def _needed(arrays: Mapping[str, NDArray[Any]], name: str, size: int | None = None) -> NDArray[Any]:
    if name not in arrays:
        raise ValueError(f"removal/{name} is missing")
    if size is not None and len(arrays[name]) != size:
        raise ValueError(f"removal/{name} has {len(arrays[name])} values, and {size} are needed")
    return arrays[name]


def _triangle(size: int) -> int:
    return size * (size + 1) // 2


def _inverse_of_all(directions: Directions, report: Report | None) -> NDArray[np.float64]:
    """Assemble H class pair by class pair, and return the upper triangle of its inverse, in Fortran's order."""
    n_classes, d = directions.n_classes, directions.width
    size = n_classes * d
    h = np.zeros((n_classes, d, n_classes, d))
    pairs: dict[tuple[int, int], list[slice]] = {}
    for label, rival, part in directions.active.groups():
        pairs.setdefault((max(label, rival), min(label, rival)), []).append(part)
    for done, ((high, low), parts) in enumerate(pairs.items()):
        rows = np.concatenate([directions.features[part] for part in parts]).astype(np.float64)
        rows *= np.sqrt(np.concatenate([directions.active.weight[part] for part in parts]))[:, None]
        gram = rows.T @ rows
        h[high, :, high] += gram
        h[low, :, low] += gram
        h[high, :, low] -= gram
        _report(report, done + 1, 4 * len(pairs))
    flat = h.reshape(size, size)
    flat[np.diag_indices(size)] += 1.0 + ROUNDING * float(np.trace(flat))
    # The lower triangle in C's order of memory is the upper one in Fortran's.
    inverse = _inverted(flat.T, lower=False)
    _report(report, 1, 1)
    return inverse


def _inverted(matrix: NDArray[np.float64], *, lower: bool) -> NDArray[np.float64]:
    """Return the same triangle of the inverse, in place; the matrix is positive definite and in Fortran's order."""
    factor, info = lapack.dpotrf(matrix, lower=lower, overwrite_a=1, clean=0)
    _check(info)
    inverse, info = lapack.dpotri(factor, lower=lower, overwrite_c=1)
    _check(info)
    return np.asarray(inverse)


def _check(info: int) -> None:
    if info:
        raise ValueError(f"the curvature of the surrogate cannot be inverted (LAPACK: {info})")


def _spread(query: NDArray[np.float64], target: int, against: int | None, n_classes: int) -> NDArray[np.float64]:
    q = np.zeros((n_classes, len(query)))
    q[target] += query
    if against is not None:
        q[against] -= query
    return q


def _report(report: Report | None, done: int, total: int) -> None:
    if report is not None:
        report(done, total)
