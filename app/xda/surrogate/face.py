r"""The linear systems of the second-order phase: the generalised Jacobian of a proximal step on its face.

The system is :math:`(I + \sigma \sum_i J_i \otimes z_i z_i^\top) V = R` in the weights, where :math:`J_i` projects onto
the directions in which row i can move. By the Woodbury identity a system of the size of the face replaces it,

.. math:: (\sigma^{-1} I + A A^\top) s = A R, \quad V = R - A^\top s,

whose p rows :math:`A_a = b_a \otimes z_{i(a)}` are one for each degree of freedom: a few hundred or thousand where the
weights have ten times as many entries. It is factored; a factor in float32 takes half the time, and conjugate
gradients with this factor as preconditioner restore the precision. If there are fewer weights than directions, as with
two or three features, the first system is factored directly. Conjugate gradients in the weights solve systems that are
too large for both.

Both matrices are numerically singular if the features have low rank and the step is long. Then a factor in float64
replaces one in float32; if that fails, the diagonal grows until the factor exists, which is the Newton step of a
shorter proximal step and so still goes downhill; conjugate gradients, which need no factor, come last.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from xda.surrogate import face_kernels
from xda.surrogate.objective import Float, Int
from xda.surrogate.threads import Threads

DENSE_FREEDOM = 6000
"""Systems with at most so many degrees of freedom are factored; larger ones need conjugate gradients."""

SINGLE_FREEDOM = 600
"""With more degrees of freedom the factor is computed in float32 and refined."""

SHARED = 1 << 18
"""With more feature values, threads share the passes over the rows of a face."""

BAND = 256
"""A thread fills in so many rows of a matrix at a time."""

REFINED = 1e-10
"""Relative residual of a refined system."""

REFINEMENTS = 25
"""Largest number of refinement steps."""

DENSE_WEIGHTS = 3000
"""The system in the weights is factored up to so many weights, if they are fewer than the degrees of freedom."""

GROWTHS = 6
"""The diagonal of a singular system grows so many times before conjugate gradients take over."""

CONJUGATE_STEPS = 200
"""Largest number of conjugate gradient steps without a factor."""

CONJUGATE_RESIDUAL = 1e-3
"""Relative residual at which these steps end."""


class GramCache:
    """Cache of inner products of rows; the free rows change little from one system to the next.

    Parameters
    ----------
    features : ndarray of shape (n, d)
    threads : Threads
    """

    def __init__(self, features: NDArray[Any], threads: Threads) -> None:
        self._features, self._threads = features, threads
        self._place = np.full(len(features), -1, dtype=np.int64)
        self._rows = np.empty(0, dtype=np.int64)
        self._products = np.empty((0, 0), dtype=features.dtype)

    def __call__(self, rows: Int) -> tuple[NDArray[Any], Int]:
        """Return a matrix of inner products and the position of each row in it.

        Parameters
        ----------
        rows : ndarray of int

        Returns
        -------
        products : ndarray of shape (m, m)
        place : ndarray of int, same shape as `rows`
        """
        new = rows[self._place[rows] < 0]
        if len(new):
            total = len(self._rows) + len(new)
            if total > len(self._products):
                # The cache is full: keep the rows of this system, with room for a quarter more.
                kept = rows[self._place[rows] >= 0]
                capacity = min(len(self._features), len(rows) + len(rows) // 4 + 8)
                products = np.empty((capacity, capacity), dtype=self._features.dtype)
                old = self._place[kept]
                products[: len(kept), : len(kept)] = self._products[np.ix_(old, old)]
                self._place[self._rows] = -1
                self._place[kept] = np.arange(len(kept))
                self._rows, self._products, total = kept, products, len(rows)
            start = len(self._rows)
            self._place[new] = np.arange(start, total)
            self._rows = np.concatenate([self._rows, new])
            chosen = self._features[self._rows]

            def fill(band: slice) -> None:
                # The products with all rows before them, and mirrored.
                block = chosen[band] @ chosen[: band.stop].T
                self._products[band, : band.stop] = block
                self._products[: band.start, band] = block[:, : band.start].T

            self._threads.map(fill, [slice(row, min(row + BAND, total)) for row in range(start, total, BAND)])
        return self._products, self._place[rows]


def way(freedom: int, n_weights: int) -> str:
    """Choose the method that solves a system.

    Parameters
    ----------
    freedom : int
        Degrees of freedom of the face.
    n_weights : int

    Returns
    -------
    {"face", "weights", "iterated"}
        By a factor in the degrees of freedom, by one in the weights, or by conjugate gradients.
    """
    if n_weights < freedom and n_weights <= DENSE_WEIGHTS:
        return "weights"
    return "face" if freedom <= DENSE_FREEDOM else "iterated"


def _cholesky(matrix: Float, diagonal: float) -> tuple[Any, bool]:
    """Return the Cholesky factor of matrix + diagonal x identity, as scipy takes it; the lower triangle is read.

    Raises
    ------
    LinAlgError
        The matrix is not finite, or still singular after the diagonal has grown.
    """
    size = len(matrix)
    places = np.diag_indices(size)
    own = matrix[places].copy()
    # The rounding of a factorisation is that of its largest diagonal entry.
    growth = size * np.finfo(np.float64).eps * float(own.max())
    if not np.isfinite(growth):
        raise linalg.LinAlgError("the system is not finite")
    for attempt in range(GROWTHS + 1):
        matrix[places] = own + diagonal + (growth * 100.0 ** (attempt - 1) if attempt else 0.0)
        try:
            return linalg.cho_factor(matrix.T, lower=False, check_finite=False)  # type: ignore[no-any-return]
        except linalg.LinAlgError:
            continue
    raise linalg.LinAlgError("the system is singular")


class FaceSolver:
    """Solves the systems of one working set.

    Parameters
    ----------
    features : ndarray of shape (n, d)
    threads : Threads
    """

    def __init__(self, features: Float, threads: Threads) -> None:
        self._features, self._threads = features, threads
        self._gram: dict[Any, GramCache] = {}
        self._rows = np.empty(0, dtype=np.int64)
        self._packed = features[:0]

    def solve(self, free: NDArray[np.bool_], freedom: int, residual: Float, inverse_step: float) -> Float:
        """Solve the system for the weights V.

        Parameters
        ----------
        free : ndarray of bool, shape (n, K)
            Entries that are free to move, as :func:`xda.surrogate.face_kernels.free_classes` marks them.
        freedom : int
            Degrees of freedom p, as it counts them.
        residual : ndarray of shape (K, d)
            R.
        inverse_step : float
            1 / sigma.

        Returns
        -------
        ndarray of shape (K, d)
        """
        if freedom == 0:
            return residual
        rows = np.flatnonzero(free.any(axis=1))
        if not np.array_equal(rows, self._rows):
            self._rows, self._packed = rows, self._features[rows]
        free = free[rows]
        try:
            if way(freedom, residual.size) == "weights":
                return self._weighed(free, residual, inverse_step)
            if way(freedom, residual.size) == "face":
                return self._factored(free, freedom, residual, inverse_step)
        except linalg.LinAlgError:
            pass
        return self._iterated(free, residual, inverse_step)

    def _weighed(self, free: NDArray[np.bool_], residual: Float, inverse_step: float) -> Float:
        """Solve with a factor of the system in the weights; each block of two classes sums over rows free in both."""
        n_classes, width = residual.shape
        matrix = np.zeros((n_classes, width, n_classes, width))
        share = 1.0 / (inverse_step * free.sum(axis=1))
        together = np.argwhere(np.tril(free.T.astype(np.float64) @ free) > 0.0)

        def fill(pair: Int) -> None:
            m, other = pair
            rows = free[:, m] & free[:, other]
            chosen = self._packed[rows]
            weight = 1.0 / inverse_step - share[rows] if m == other else -share[rows]
            matrix[m, :, other] = (chosen * weight[:, None]).T @ chosen

        self._threads.map(fill, together)
        system = matrix.reshape(residual.size, residual.size)
        factor = _cholesky(system, 1.0)
        return np.asarray(linalg.cho_solve(factor, residual.ravel(), check_finite=False)).reshape(residual.shape)

    def _factored(self, free: NDArray[np.bool_], freedom: int, residual: Float, inverse_step: float) -> Float:
        basis = np.empty((freedom, free.shape[1]))
        owner = np.empty(freedom, dtype=np.int64)
        face_kernels.basis_of(free, basis, owner)

        def lift(values: Float) -> Float:
            """Return the change of the weights for a change along the directions of the face."""
            moved = np.zeros(free.shape)
            face_kernels.add_directions(basis, owner, values, moved)
            return self._weights(free, moved)

        def lower(weights: Float) -> Float:
            """Return the change along each direction of the face for a change of the weights."""
            return np.asarray(np.einsum("pk,pk->p", basis, self._scores(free, weights)[owner]))

        single = freedom > SINGLE_FREEDOM
        try:
            factor = self._factor(self._rows, basis, owner, inverse_step, np.float32 if single else np.float64)
        except linalg.LinAlgError:
            if not single:
                raise
            single = False
            factor = self._factor(self._rows, basis, owner, inverse_step, np.float64)

        def precondition(values: Float) -> Float:
            solved = linalg.cho_solve(factor, values.astype(factor[0].dtype), check_finite=False)
            return np.asarray(solved, dtype=np.float64)

        right = lower(residual)
        if not single:
            return residual - lift(precondition(right))
        solution = np.zeros(freedom)
        remainder = right
        goal = REFINED * float(np.linalg.norm(right))
        search = prepared = precondition(remainder)
        product = float(remainder @ prepared)
        for _ in range(REFINEMENTS):
            applied = inverse_step * search + lower(lift(search))
            curvature = float(search @ applied)
            if not curvature > 0.0:
                break
            length = product / curvature
            solution += length * search
            remainder = remainder - length * applied
            if np.linalg.norm(remainder) <= goal:
                break
            prepared = precondition(remainder)
            previous, product = product, float(remainder @ prepared)
            search = prepared + (product / previous) * search
        return residual - lift(solution)

    def _factor(self, rows: Int, basis: Float, owner: Int, inverse_step: float, dtype: Any) -> tuple[Any, bool]:
        """Return the Cholesky factor of the system, as scipy takes it."""
        if dtype not in self._gram:
            self._gram[dtype] = GramCache(self._features.astype(dtype, copy=False), self._threads)
        products, place = self._gram[dtype](rows)
        directions = basis.astype(dtype, copy=False)
        matrix = self._threads.matmul(directions, directions.T)
        freedom, place = len(matrix), place[owner]
        # Each thread takes every n-th band of the lower triangle, so that all threads have about equal work.
        bands = self._threads.shares(range(0, freedom, BAND))

        def scale(starts: list[int]) -> None:
            for start in starts:
                face_kernels.scale_by_gram(products, place, start, min(start + BAND, freedom), matrix)

        self._threads.map(scale, bands)
        if dtype == np.float32:
            # Rounding may have reduced the diagonal; restore it.
            matrix[np.diag_indices(freedom)] *= 1.0 + 1e-5
            matrix[np.diag_indices(freedom)] += inverse_step
            return linalg.cho_factor(matrix.T, lower=False, overwrite_a=True, check_finite=False)  # type: ignore[no-any-return]
        return _cholesky(matrix, inverse_step)

    def _iterated(self, free: NDArray[np.bool_], residual: Float, inverse_step: float) -> Float:
        """Solve by conjugate gradients in the weights."""
        step = 1.0 / inverse_step
        solution = np.zeros_like(residual)
        remainder = residual.copy()
        search = remainder.copy()
        squared = float(np.vdot(remainder, remainder))
        goal = CONJUGATE_RESIDUAL**2 * squared
        for _ in range(CONJUGATE_STEPS):
            moved = self._scores(free, search)
            face_kernels.centre_rows(free, moved)
            product = search + step * self._weights(free, moved)
            curvature = float(np.vdot(search, product))
            if not 0.0 < curvature < np.inf:
                break
            length = squared / curvature
            solution += length * search
            remainder -= length * product
            previous, squared = squared, float(np.vdot(remainder, remainder))
            if squared <= goal:
                break
            search = remainder + (squared / previous) * search
        return solution

    def _scores(self, free: NDArray[np.bool_], weights: Float) -> Float:
        """Return the scores of the free entries, zeros elsewhere."""
        scores = np.zeros(free.shape)
        self._threads.map(
            lambda cut: face_kernels.scores_of(self._packed, free, cut.start, cut.stop, weights, scores), self._cuts()
        )
        return scores

    def _weights(self, free: NDArray[np.bool_], dual: Float) -> Float:
        """Return the weights that the free entries contribute."""

        def share(cut: slice) -> Float:
            weights = np.zeros((free.shape[1], self._packed.shape[1]))
            face_kernels.add_weights(self._packed, free, cut.start, cut.stop, dual, weights)
            return weights

        return np.asarray(sum(self._threads.map(share, self._cuts())))

    def _cuts(self) -> list[slice]:
        """Cut the rows into parts, each large enough for a thread."""
        return self._threads.cut(len(self._packed)) if self._packed.size > SHARED else [slice(0, len(self._packed))]
