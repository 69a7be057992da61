"""The scikit-learn estimator of the surrogate: validates, calls the solver, sets ``attr_``.

In go features and labels of any kind; out comes a fitted :class:`CrammerSingerSVC` with exact zeros among its dual
variables, and the certificate of the fit.
"""

# ruff: noqa: N803, N806 - C and X are the names of the field
from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from xda.surrogate import blocks
from xda.surrogate.arguments import count, positive, sample, samples
from xda.surrogate.ascent import Progress
from xda.surrogate.objective import Float, Int
from xda.surrogate.solver import Solution, Start, solve
from xda.surrogate.threads import Threads

BESIDE = 1 << 25
"""Two fits run side by side if their dual rows have at most so many entries: 256 MiB each."""

_DTYPES = [np.float64, np.float32, np.float16]


class CrammerSingerSVC(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    r"""Crammer-Singer support vector machine with exact dual variables.

    Minimises :math:`\tfrac12 \sum_m \|w_m\|^2 + C \sum_i \xi_i` with
    :math:`\xi_i = \max_m (w_m \cdot z_i + [m \ne y_i]) - w_{y_i} \cdot z_i`.

    Parameters
    ----------
    C : float, default=1e-3
        Weight of the sum (not the mean) of the slacks. A larger C gives fewer support vectors.
    tol : float, default=1e-6
        Relative duality gap at which the fit stops.
    intercept : {"none", "augment"}, default="none"
        ``"augment"`` appends a constant 1 to every sample, regularised like a weight.
    max_iter : int, default=2000
        Largest number of sweeps and second-order steps together; the fit makes at least one sweep.
    random_state : int, Generator or None, default=0
        Order of the sweeps; the fit is deterministic for an int.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
    coef_ : ndarray of shape (K, d)
        Weights in float64, one row per class for K = 2 too.
    intercept_ : ndarray of shape (K,)
        Zero with ``intercept="none"``.
    dual_coef_ : scipy CSR array of shape (N, K)
        Dual rows with exact zeros; ``coef_ == dual_coef_.T @ X``.
    support_ : ndarray of int, shape (n,)
        Samples whose dual row is not zero, ascending.
    slack_ : ndarray of shape (N,)
        Hinge loss of every training sample.
    certificate_ : Certificate
    history_ : tuple of (int, float)
        Relative gap after so many sweeps and steps.
    n_iter_ : int
    removed_ : ndarray of int
        Samples that :meth:`refit` removed; they keep their position in the arrays above, with a zero row.
    n_features_in_ : int

    Notes
    -----
    `coef_` is unique, since the primal is strongly convex. `dual_coef_` need not be: exact duplicates, for example, can
    share their weight in many ways, and only its sum is determined. A `random_state` makes it deterministic.

    For K = 2 `decision_function` has shape (n,), as scikit-learn wants it: score of class 1 minus score of class 0,
    so that the margin is 1 (not 2) away from zero. It is twice the score of class 1, the two weights being opposite.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.0, 2.0], [2.0, 0.0], [-2.0, -2.0]])
    >>> svc = CrammerSingerSVC(C=1.0).fit(X, ["up", "right", "down"])
    >>> svc.predict([[0.5, 3.0]]).tolist()
    ['up']
    >>> svc.certificate_.converged
    True
    """

    def __init__(
        self,
        C: float = 1e-3,
        tol: float = 1e-6,
        intercept: str = "none",
        max_iter: int = 2000,
        random_state: int | np.random.Generator | None = 0,
    ) -> None:
        self.C = C
        self.tol = tol
        self.intercept = intercept
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, *, progress: Progress | None = None) -> Self:
        """Fit the surrogate.

        An interrupted or refused fit does not change the estimator.

        Parameters
        ----------
        X : array-like of shape (N, d)
            Features, float16, float32 or float64, possibly memory-mapped; not copied as a whole.
        y : array-like of shape (N,)
            Labels of any kind, at least two different ones.
        progress : callable, optional
            Called as ``progress(sweeps, gap)`` while the fit goes on.

        Returns
        -------
        CrammerSingerSVC
            Itself.

        Raises
        ------
        ValueError
            A feature is NaN or infinite (the message names the sample), or a parameter is invalid.
        """
        return self._fit(X, y, None, progress, None)

    @classmethod
    def path(
        cls, X: ArrayLike, y: ArrayLike, Cs: Sequence[float], *, progress: Progress | None = None, **params: Any
    ) -> list[Self]:
        """Fit several C, each started from the solution of the next smaller one.

        Coordinate ascent, a large part of a fit, uses one thread. So the largest C, which takes longest and gains least
        from the others, is fitted beside them if there is memory for the dual rows of both.

        Parameters
        ----------
        X : array-like of shape (N, d)
        y : array-like of shape (N,)
        Cs : sequence of float
        progress : callable, optional
            As in :meth:`fit`.
        **params
            The other parameters of the estimator.

        Returns
        -------
        list of CrammerSingerSVC
            One per C, in the order of `Cs`; each equals a separate fit up to the tolerance.
        """
        ascending = np.argsort(np.asarray(Cs, dtype=np.float64), kind="stable").tolist()
        fitted = {position: cls(C=Cs[position], **params) for position in ascending}

        def climb(positions: list[int], progress: Progress | None, n_threads: int | None) -> None:
            warm: Self | None = None
            for position in positions:
                warm = fitted[position]._fit(X, y, warm, progress, n_threads)

        with Threads() as threads:
            beside = len(ascending) > 1 and threads.count > 1 and np.shape(X)[0] * len(np.unique(y)) <= BESIDE
            if beside:
                # The longer of both fits reports the progress.
                fits = [(ascending[-1:], progress, threads.count), (ascending[:-1], None, 1)]
                threads.map(lambda fit: climb(*fit), fits)
        if not beside:
            climb(ascending, progress, None)
        return [fitted[position] for position in range(len(Cs))]

    def refit(
        self,
        *,
        remove: Iterable[int] | NDArray[np.bool_] = (),
        relabel: Mapping[int, Any] | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Fit again without some samples, or with other labels.

        Works on the arrays given to `fit` (kept as references, not copied, and not pickled), from the present solution.
        This estimator does not change.

        Parameters
        ----------
        remove : iterable of int, or mask of bool of shape (N,)
            Samples to leave out. They keep their index: their dual rows are zero, and their slacks follow from the new
            weights. Leaving out samples with zero rows changes nothing and costs nothing.
        relabel : mapping of int to label, optional
            New labels, each one of `classes_`.
        progress : callable, optional
            As in :meth:`fit`.

        Returns
        -------
        CrammerSingerSVC
            A new, fitted estimator.

        Raises
        ------
        ValueError
            An index is not a whole number, an index or a label does not exist, a mask has another length than the
            training data, or the training data are gone.
        """
        check_is_fitted(self)
        data = getattr(self, "_data", None)
        if data is None:
            raise ValueError("refit needs the training data, which is not stored with the estimator: fit it again")
        X, y, included = data
        n_samples = len(y)
        gone = samples("remove", remove, n_samples)
        if relabel is not None and not isinstance(relabel, Mapping):
            raise ValueError(f"relabel must be a mapping from sample numbers to labels, not {relabel!r}")
        changes = {sample("relabel", index, n_samples): label for index, label in (relabel or {}).items()}
        included = included.copy()
        included[gone] = False
        labels = y.copy()
        for index, label in changes.items():
            # In a comparison True equals 1; as a label it is probably an entry of a mask.
            astray = isinstance(label, bool | np.bool_) and self.classes_.dtype.kind != "b"
            if np.ndim(label) or astray or not (self.classes_ == label).any():
                raise ValueError(f"sample {index} cannot get the label {label!r}: it is not one of the classes")
            labels[index] = np.flatnonzero(self.classes_ == label)[0]
        twin = type(self)(**self.get_params(deep=False))
        twin.__dict__.update(vars(self))
        changed = np.flatnonzero((labels != y) & included)
        if not len(changed) and not np.isin(gone, self.support_).any():
            twin._data = (X, y, included)
            twin.removed_ = np.flatnonzero(~included)
            twin.certificate_ = replace(self.certificate_, n_samples=int(included.sum()), n_sweeps=0, seconds=0.0)
            return twin
        keep = included[self.support_] & (labels[self.support_] == y[self.support_])
        start = Start(self.support_[keep], self._rows()[keep])
        solution = twin._solve(X, labels, included, start, progress)
        twin._keep(solution, X, labels, included)
        return twin

    def decision_function(self, X: ArrayLike) -> Float:
        """Return the scores of the classes.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        ndarray of shape (n, K), or (n,) for K = 2
            For K = 2 the score of class 1 minus that of class 0.
        """
        check_is_fitted(self)
        X = self._validated(X)
        scores = np.empty((X.shape[0], len(self.classes_)))
        for span in blocks.spans(X.shape[0], X.shape[1]):
            scores[span] = blocks.read(X, span) @ self.coef_.T + self.intercept_
        return np.asarray(scores[:, 1] - scores[:, 0]) if len(self.classes_) == 2 else scores

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the class with the highest score.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        ndarray of shape (n,)
        """
        scores = self.decision_function(X)
        best = (scores > 0).astype(np.int64) if scores.ndim == 1 else scores.argmax(axis=1)
        return np.asarray(self.classes_[best])

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "coef_")

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())
        state.pop("_data", None)
        return state

    def _fit(
        self, X: ArrayLike, y: ArrayLike, warm: Self | None, progress: Progress | None, n_threads: int | None
    ) -> Self:
        before = dict(vars(self))
        try:
            if self.intercept not in ("none", "augment"):
                raise ValueError(f'intercept must be "none" or "augment", not {self.intercept!r}')
            positive("C", self.C)
            positive("tol", self.tol)
            count("max_iter", self.max_iter)
            if y is None:
                raise ValueError("requires y to be passed, but the target y is None")
            features, targets = validate_data(self, X, y, dtype=_DTYPES, ensure_all_finite=False)
            check_classification_targets(targets)
            self.classes_, labels = np.unique(targets, return_inverse=True)
            if len(self.classes_) < 2:
                raise ValueError(f"the data has only one class, {self.classes_[0]!r}; at least 2 are needed")
            start = None if warm is None else Start(warm.support_, warm._rows())
            included = np.ones(len(labels), dtype=np.bool_)
            solution = self._solve(features, labels, included, start, progress, n_threads)
            self._keep(solution, features, labels.astype(np.int64, copy=False), included)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        return self

    def _solve(
        self,
        X: NDArray[Any],
        labels: Int,
        included: NDArray[np.bool_],
        start: Start | None,
        progress: Progress | None,
        n_threads: int | None = None,
    ) -> Solution:
        solution = solve(
            X,
            labels,
            self.C,
            n_classes=len(self.classes_),
            tol=self.tol,
            max_sweeps=self.max_iter,
            augment=self.intercept == "augment",
            included=included,
            start=start,
            progress=progress,
            random_state=self.random_state,
            n_threads=n_threads,
        )
        if not solution.certificate.converged:
            warnings.warn(
                f"not converged after {solution.certificate.n_sweeps} sweeps and steps: {solution.reason}",
                ConvergenceWarning,
                stacklevel=4,
            )
        return solution

    def _keep(self, solution: Solution, X: NDArray[Any], labels: Int, included: NDArray[np.bool_]) -> None:
        n_features, n_classes = X.shape[1], len(self.classes_)
        self.coef_ = np.ascontiguousarray(solution.coef[:, :n_features])
        self.intercept_ = solution.coef[:, n_features].copy() if self.intercept == "augment" else np.zeros(n_classes)
        self.support_ = solution.support
        self.dual_coef_ = _csr(solution.support, solution.dual_rows, X.shape[0])
        self.slack_ = solution.slack
        self.certificate_ = solution.certificate
        self.history_ = solution.history
        self.n_iter_ = solution.certificate.n_sweeps
        self.removed_ = np.flatnonzero(~included)
        self._data = (X, labels, included)

    def _rows(self) -> Float:
        return np.asarray(self.dual_coef_[self.support_].toarray())

    def _validated(self, X: ArrayLike) -> NDArray[Any]:
        checked: NDArray[Any] = validate_data(self, X, reset=False, dtype=_DTYPES, ensure_all_finite=False)
        blocks.squared_norms(checked)
        return checked


def _csr(support: Int, rows: Float, n_samples: int) -> sparse.csr_array:
    """Spread dual rows over all samples."""
    compact = sparse.csr_array(rows)
    counts = np.zeros(n_samples + 1, dtype=np.int64)
    counts[support + 1] = np.diff(compact.indptr)
    return sparse.csr_array((compact.data, compact.indices, np.cumsum(counts)), shape=(n_samples, rows.shape[1]))
