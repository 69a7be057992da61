r"""The certificate of a fit: primal and dual value, duality gap and KKT violation, in float64 over all samples.

In go features, labels and dual rows; out comes a :class:`Certificate`. By weak duality the gap is a bound that needs no
trust in the solver: any feasible dual rows give a lower bound on the optimum, any weights an upper one. The gap proves
the value, and bounds the distance of the weights, :math:`\|W - W^*\|^2 \le 2 (primal - dual)`, since the primal is
1-strongly convex. It does not prove for each row whether it is zero: the solver determines the support.
"""

# ruff: noqa: N803 - C and X are the names of the field
from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from xda.surrogate import blocks, objective, scan_kernels
from xda.surrogate.objective import Float, Int
from xda.surrogate.threads import Threads

FEASIBLE = 1e-9
"""Largest constraint violation, relative to C, that still counts as rounding."""


@dataclass(frozen=True)
class Certificate:
    """Objective values, gap and violations of a fit, from any solver.

    Parameters
    ----------
    primal, dual : float
        Objective values at the dual rows and at the weights they give.
    relative_gap : float
        (primal - dual) / max(1e-12, abs(primal)).
    kkt_violation : float
        Largest violation of the optimality conditions of one sample.
    n_support : int
        Samples whose dual row is not zero.
    n_bounded : int
        Support samples at their bound, own entry = C.
    n_sweeps : int
        Sweeps and second-order steps the solver took.
    seconds : float
        Wall-clock time of the solver.
    converged : bool
        ``relative_gap <= tol`` and the rows are feasible.
    C, tol : float
    n_samples : int
    infeasibility : float
        Largest violation of the row sums and bounds, divided by C; rounding at most in a sound fit.
    """

    primal: float
    dual: float
    relative_gap: float
    kkt_violation: float
    n_support: int
    n_bounded: int
    n_sweeps: int
    seconds: float
    converged: bool
    C: float
    tol: float
    n_samples: int
    infeasibility: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the certificate in plain JSON types.

        Returns
        -------
        dict
        """
        return asdict(self)


def slack(X: NDArray[Any], y: Int, coef: Float, *, augment: bool = False) -> Float:
    """Return the slack of every sample, computed in float64 a block at a time.

    Parameters
    ----------
    X : ndarray of shape (N, d)
        Features in any float type, possibly memory-mapped.
    y : ndarray of int, shape (N,)
        Labels in 0..K-1.
    coef : ndarray of shape (K, d), or (K, d + 1) with `augment`
    augment : bool
        A constant 1 belongs behind every feature row.

    Returns
    -------
    ndarray of shape (N,)
    """
    result = np.empty(X.shape[0])
    for span in blocks.spans(X.shape[0], blocks.width(X, augment) + coef.shape[0]):
        block = blocks.read(X, span, augment=augment)
        result[span] = objective.slacks(objective.scores(block, coef, y[span]), y[span])
    return result


def coef_of_support(
    X: NDArray[Any], support: Int, dual_rows: Float, *, augment: bool = False, threads: Threads | None = None
) -> Float:
    """Return the weights in float64, reading the support samples a block at a time.

    Parameters
    ----------
    X : ndarray of shape (N, d)
    support : ndarray of int, shape (n,)
        Index in X of each dual row.
    dual_rows : ndarray of shape (n, K)
    augment : bool
    threads : Threads, optional

    Returns
    -------
    ndarray of shape (K, d), or (K, d + 1) with `augment`
    """
    n_columns = blocks.width(X, augment)

    def add_up(spans: list[slice]) -> Float:
        coef = np.zeros((dual_rows.shape[1], n_columns))
        for span in spans:
            coef += objective.coef_from_dual(blocks.read(X, support[span], augment=augment), dual_rows[span])
        return coef

    spans = list(blocks.spans(len(support), n_columns))
    if threads is None:
        return add_up(spans)
    return np.asarray(sum(threads.map(add_up, threads.shares(spans))))


def certify(
    X: NDArray[Any],
    y: Int,
    dual_coef: Float | sparse.csr_matrix | sparse.csr_array,
    C: float,
    *,
    support: Int | None = None,
    augment: bool = False,
    included: NDArray[np.bool_] | None = None,
    tol: float = 1e-6,
    n_sweeps: int = 0,
    seconds: float = 0.0,
) -> Certificate:
    """Certify dual rows from any source.

    Parameters
    ----------
    X : ndarray of shape (N, d)
        Features of *all* training samples, any float type, possibly memory-mapped.
    y : ndarray of int, shape (N,)
        Labels in 0..K-1.
    dual_coef : ndarray or CSR of shape (N, K), or ndarray of shape (n, K) with `support`
    C : float
    support : ndarray of int, shape (n,), optional
        Index of the sample each row of `dual_coef` belongs to; the other rows are zero.
    augment : bool
        The fit had ``intercept="augment"``.
    included : ndarray of bool, shape (N,), optional
        The samples that belong to the problem; all of them by default. Their rows must be zero if they do not.
    tol : float
        Relative gap below which the certificate says ``converged``.
    n_sweeps, seconds : int, float
        Copied into the certificate.

    Returns
    -------
    Certificate

    Raises
    ------
    ValueError
        Shapes do not match; the message names both.
    """
    if support is None:
        if dual_coef.shape[0] != X.shape[0]:
            raise ValueError(f"dual_coef has {dual_coef.shape[0]} rows for {X.shape[0]} samples")
        if isinstance(dual_coef, np.ndarray):
            support = np.flatnonzero(dual_coef.any(axis=1)).astype(np.int64)
            rows = np.asarray(dual_coef[support], dtype=np.float64)
        else:
            compact = sparse.csr_array(dual_coef)
            support = np.flatnonzero(np.diff(compact.indptr)).astype(np.int64)
            rows = np.asarray(compact[support].toarray(), dtype=np.float64)
    else:
        rows = np.asarray(dual_coef, dtype=np.float64)
        if len(support) != len(rows):
            raise ValueError(f"{len(rows)} dual rows for {len(support)} support indices")
        order = np.argsort(support)
        support, rows = support[order], rows[order]
    coef = coef_of_support(X, support, rows, augment=augment)
    return certify_solution(
        X, y, support, rows, coef, C, augment=augment, included=included, tol=tol, n_sweeps=n_sweeps, seconds=seconds
    )[0]


def certify_solution(
    X: NDArray[Any],
    y: Int,
    support: Int,
    dual_rows: Float,
    coef: Float,
    C: float,
    *,
    augment: bool = False,
    included: NDArray[np.bool_] | None = None,
    tol: float = 1e-6,
    n_sweeps: int = 0,
    seconds: float = 0.0,
    threads: Threads | None = None,
) -> tuple[Certificate, Float]:
    """Certify dual rows with known weights, and return the slacks too.

    Parameters
    ----------
    X, y, support, dual_rows, C, augment, included, tol, n_sweeps, seconds
        As in :func:`certify`.
    coef : ndarray of shape (K, d), or (K, d + 1) with `augment`
        As of :func:`coef_of_support`.
    threads : Threads, optional

    Returns
    -------
    certificate : Certificate
    slack : ndarray of shape (N,)
    """
    live = dual_rows.any(axis=1)
    support, dual_rows = support[live], dual_rows[live]
    own = dual_rows[np.arange(len(support)), y[support]]
    slack_of_all = np.empty(X.shape[0])
    violations = np.empty(X.shape[0])

    weights = np.ascontiguousarray(coef.T)
    place = np.full(X.shape[0], -1)
    place[support] = np.arange(len(support))
    labels = y.astype(np.int64, copy=False)
    dtype = blocks.kernel_dtype(X)

    def look(span: slice) -> None:
        scan_kernels.slacks_and_violations(
            blocks.read(X, span, dtype, augment), weights, labels[span], place[span], dual_rows, C,
            slack_of_all[span], violations[span],
        )  # fmt: skip

    in_place = blocks.in_place(X, dtype, augment)
    blocks.over(threads, look, X.shape[0], blocks.width(X, augment), in_place=in_place)
    if included is None:
        total_slack, n_samples = float(slack_of_all.sum()), int(X.shape[0])
    else:
        violations[~included] = 0.0
        total_slack, n_samples = float(slack_of_all[included].sum()), int(np.count_nonzero(included))
        if not included[support].all():
            left_out = int(support[np.argmin(included[support])])
            raise ValueError(f"sample {left_out} has a dual row but does not belong to the problem")
    primal = objective.primal_value(coef, total_slack, C)
    dual = objective.dual_value(coef, float(own.sum()))
    gap = objective.relative_gap(primal, dual)
    infeasibility = _infeasibility(dual_rows, y[support], C)
    certificate = Certificate(
        primal=primal,
        dual=dual,
        relative_gap=gap,
        kkt_violation=float(violations.max(initial=0.0)),
        n_support=len(support),
        n_bounded=int(np.count_nonzero(own >= C)),
        n_sweeps=int(n_sweeps),
        seconds=float(seconds),
        converged=bool(gap <= tol and infeasibility <= FEASIBLE),
        C=float(C),
        tol=float(tol),
        n_samples=n_samples,
        infeasibility=infeasibility,
    )
    return certificate, slack_of_all


def _infeasibility(dual_rows: Float, labels: Int, C: float) -> float:
    """Return the largest violation of row sums and bounds, relative to C."""
    if not len(dual_rows):
        return 0.0
    bounds = np.zeros_like(dual_rows)
    bounds[np.arange(len(labels)), labels] = C
    return max(0.0, float((dual_rows - bounds).max()), float(np.abs(dual_rows.sum(axis=1)).max())) / C
