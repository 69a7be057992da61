"""A head fitted on features: multinomial logistic regression with a penalty that is chosen on held-out images.

    min_{W, b}  mean_i −log softmax(W z_i + b)[y_i] + λ/2 ‖W‖²

The features are centred meanwhile, which changes the path to the optimum, not the optimum, since b has no penalty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from xda.errors import ConfigError
from xda.progress import Progress, silent

PENALTIES = (1e-1, 10**-1.5, 1e-2, 10**-2.5, 1e-3, 10**-3.5, 1e-4)
HELD_OUT = 5
"""One image of so many, of each class, is held out to choose the penalty."""
_STAGE = "Fitting the head"
_STEPS = 500
_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class FittedHead:
    """A linear map from features to logits."""

    weight: NDArray[np.float64]
    """Shape (K, d)."""
    bias: NDArray[np.float64]
    """Shape (K,)."""
    penalty: float
    """λ."""
    held_out_accuracy: float
    """Share of the held-out images that the fit on the others classifies as labelled, at this penalty."""

    def logits(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return W z + b, shape (n, K)."""
        return np.asarray(features @ self.weight.T + self.bias)


def fit_head(
    features: NDArray[np.floating],
    labels: NDArray[np.int64],
    n_classes: int,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> FittedHead:
    """Choose the penalty with the least loss on a fifth of the images, then fit on all of them.

    Parameters
    ----------
    features : NDArray
        Training features, shape (N, d).
    labels : NDArray[np.int64]
        Shape (N,), 0 to K-1.
    n_classes : int
        K.
    seed : int
        Of the choice of held-out images.
    progress : Progress

    Raises
    ------
    ConfigError
        If there are too few images to hold some out.
    """
    held_out = _held_out(labels, seed)
    if not held_out.any() or len(np.unique(labels[~held_out])) < n_classes:
        raise ConfigError(f"A head is fitted on at least {HELD_OUT} training images of some class, and one of each.")
    z = np.asarray(features, dtype=np.float64)
    best, start = None, np.zeros((n_classes, z.shape[1] + 1))
    for done, penalty in enumerate(PENALTIES):
        start = _minimum(z[~held_out], labels[~held_out], penalty, start)
        loss, accuracy = _quality(start, z[held_out], labels[held_out])
        if best is None or loss < best[0]:
            best = loss, accuracy, penalty, start
        progress(_STAGE, done + 1, len(PENALTIES) + 1)
    assert best is not None
    _, accuracy, penalty, start = best
    solution = _minimum(z, labels, penalty, start)
    progress(_STAGE, len(PENALTIES) + 1, len(PENALTIES) + 1)
    return FittedHead(solution[:, :-1], solution[:, -1], penalty, accuracy)


def _held_out(labels: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Mark every fifth image of each class, in an order drawn at random."""
    rng = np.random.default_rng(seed)
    marked = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        marked[rng.permutation(np.flatnonzero(labels == label))[HELD_OUT - 1 :: HELD_OUT]] = True
    return marked


def _minimum(
    features: NDArray[np.float64], labels: NDArray[np.int64], penalty: float, start: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return W and, in the last column, b: shape (K, d + 1)."""
    mean = features.mean(axis=0)
    z = features - mean
    rows = np.arange(len(z))

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        given = flat.reshape(start.shape)
        weight = given[:, :-1]
        logs = log_softmax(z @ weight.T + given[:, -1], axis=1)
        residual = np.exp(logs)
        residual[rows, labels] -= 1
        residual /= len(z)
        gradient = np.column_stack([residual.T @ z + penalty * weight, residual.sum(axis=0)])
        value = -logs[rows, labels].mean() + penalty / 2 * float((weight**2).sum())
        return value, gradient.ravel()

    first = start.copy()
    first[:, -1] += first[:, :-1] @ mean
    options = {"maxiter": _STEPS, "gtol": _TOLERANCE, "ftol": 0.0}
    solution = minimize(objective, first.ravel(), jac=True, method="L-BFGS-B", options=options).x.reshape(start.shape)
    solution[:, -1] -= solution[:, :-1] @ mean
    return np.asarray(solution)


def _quality(
    head: NDArray[np.float64], features: NDArray[np.float64], labels: NDArray[np.int64]
) -> tuple[float, float]:
    """Return the mean loss without penalty, and the share classified as labelled."""
    logs = log_softmax(features @ head[:, :-1].T + head[:, -1], axis=1)
    return float(-logs[np.arange(len(labels)), labels].mean()), float((logs.argmax(axis=1) == labels).mean())
