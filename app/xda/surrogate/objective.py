r"""The Crammer-Singer problem, one function per equation.

In go features ``(N, d)``, labels in ``0..K-1``, dual rows ``(n, K)`` and a weight matrix ``(K, d)``; out come the terms
of the primal and the dual. Nothing here iterates or chooses: this is the problem, not a way to solve it.

.. math::

    \text{primal} \quad \tfrac12 \sum_m \|w_m\|^2 + C \sum_i \xi_i, \qquad
    \text{dual} \quad -\tfrac12 \sum_m \|w_m(\alpha)\|^2 - \sum_i \sum_{m \ne y_i} \alpha_i^m

with :math:`\sum_m \alpha_i^m = 0`, :math:`\alpha_i^m \le C [m = y_i]` and :math:`w_m(\alpha) = \sum_i \alpha_i^m z_i`.

References
----------
Crammer and Singer, "On the algorithmic implementation of multiclass kernel-based vector machines", JMLR 2, 2001.
Keerthi, Sundararajan, Chang, Hsieh and Lin, "A sequential dual method for large scale multi-class linear SVMs",
KDD 2008.
"""

# ruff: noqa: N803 - C and X are the names of the field
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Int = NDArray[np.int64]


def coef_from_dual(features: Float, dual_rows: Float) -> Float:
    r"""Return :math:`W = \alpha^\top Z`.

    Parameters
    ----------
    features : ndarray of shape (n, d)
        Features of the samples the rows belong to; samples with a zero row may be left out.
    dual_rows : ndarray of shape (n, K)
        Their dual rows.

    Returns
    -------
    ndarray of shape (K, d)
    """
    return np.ascontiguousarray(dual_rows.T @ features)


def scores(features: Float, coef: Float, labels: Int) -> Float:
    r"""Return the augmented scores :math:`G_i^m = w_m \cdot z_i + [m \ne y_i]`, the gradient of the dual.

    Parameters
    ----------
    features : ndarray of shape (n, d)
    coef : ndarray of shape (K, d)
    labels : ndarray of int, shape (n,)

    Returns
    -------
    ndarray of shape (n, K)
    """
    augmented = features @ coef.T + 1.0
    augmented[np.arange(len(labels)), labels] -= 1.0
    return augmented


def slacks(augmented: Float, labels: Int) -> Float:
    r"""Return the hinge losses :math:`\xi_i = \max_m G_i^m - G_i^{y_i} \ge 0`.

    Parameters
    ----------
    augmented : ndarray of shape (n, K)
        Scores as of :func:`scores`.
    labels : ndarray of int, shape (n,)

    Returns
    -------
    ndarray of shape (n,)
    """
    return np.asarray(augmented.max(axis=1) - augmented[np.arange(len(labels)), labels])


def primal_value(coef: Float, total_slack: float, C: float) -> float:
    r"""Return :math:`\tfrac12 \|W\|^2 + C \sum_i \xi_i`.

    Parameters
    ----------
    coef : ndarray of shape (K, d)
    total_slack : float
        Sum of the slacks of all samples.
    C : float

    Returns
    -------
    float
    """
    return 0.5 * float(np.vdot(coef, coef)) + C * total_slack


def dual_value(coef: Float, total_own: float) -> float:
    r"""Return the dual objective, to be maximised.

    Since each row sums to zero, :math:`-\sum_{m \ne y_i} \alpha_i^m = \alpha_i^{y_i}`.

    Parameters
    ----------
    coef : ndarray of shape (K, d)
        :math:`W(\alpha)`, as of :func:`coef_from_dual`.
    total_own : float
        :math:`\sum_i \alpha_i^{y_i}`.

    Returns
    -------
    float
    """
    return total_own - 0.5 * float(np.vdot(coef, coef))


def relative_gap(primal: float, dual: float) -> float:
    """Return (primal - dual) / max(1e-12, abs(primal)).

    Parameters
    ----------
    primal, dual : float

    Returns
    -------
    float
    """
    return (primal - dual) / max(1e-12, abs(primal))
