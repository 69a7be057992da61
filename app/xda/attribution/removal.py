r"""Estimated effects of removing training images on one decision.

.. math::

    \mathrm{effect}_i = -\sum_m \alpha_i^m \langle z_i, u_m \rangle, \qquad
    \sum_i \mathrm{effect}_i = -\langle W, u \rangle

with u the solution of ``H u = q`` (:mod:`xda.attribution.curvature`; method section 7). The effect of a support vector
is an estimate of how much the logit (difference) changes when it is removed and the surrogate fitted again; that of
every other training image is 0. With ``H = I`` the effects are ``-tau_i``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xda.attribution.curvature import Response
from xda.attribution.support import SupportSet

SCATTERED = 16.0
"""A product with one class costs so much more than one in a product with all classes: its rows are gathered and turned
into float64. Measured: 12 to 24."""

Products = Callable[[NDArray[np.int64] | None, NDArray[np.float64]], NDArray[np.floating]]
"""``products(rows, vectors)``: inner products of support vectors (None: all) with vectors, (m,) x (n, d) -> (m, n)."""


@dataclass(frozen=True, slots=True)
class RemovalEffects:
    """The estimated effects of removing each support vector alone; of several together: the sum."""

    values: NDArray[np.float64]
    """In the order of the support set, shape (n_support,)."""
    response: Response
    """The solution u from which they follow, with the bound of its error."""


def removal_effects(support: SupportSet, products: Products, response: Response) -> RemovalEffects:
    """Return the effect of each support vector on the logit that u belongs to.

    Parameters
    ----------
    support : SupportSet
    products : callable
        Inner products with vectors as long as the rows of u.
    response : Response
        Of ``Curvature.solve``.
    """
    alpha, u = support.dual_coef, response.u
    n, n_classes = alpha.shape
    if not n:
        return RemovalEffects(np.zeros(0), response)
    if n * n_classes <= SCATTERED * alpha.nnz:
        rows = np.repeat(np.arange(n), np.diff(alpha.indptr))
        moved = products(None, u)[rows, alpha.indices]
        return RemovalEffects(-np.add.reduceat(alpha.data * moved, alpha.indptr[:-1]), response)
    effects = np.zeros(n)
    for m in range(n_classes):
        chosen, weights = support.weights(m)
        effects[chosen] -= weights * products(chosen, u[m])
    return RemovalEffects(effects, response)


def summed(effects: RemovalEffects, support: SupportSet, removed: Sequence[int]) -> float:
    """Return the estimated effect of removing several training samples, given by position: the sum of their effects."""
    return float(effects.values[np.isin(support.index, np.asarray(removed, dtype=np.int64))].sum())
