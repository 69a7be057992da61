"""Problems that are hard on the linear algebra: low rank, large means, duplicates, zeros, extreme scales.

    python -m tests.surrogate.degenerate

fits all of them with every C, with and without intercept, in float32 and float64 (minutes), and counts the outcomes.
"""

# ruff: noqa: N806 - C and X are the names of the field
from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from xda.surrogate import Solution, solve

Float = NDArray[np.float64]
Int = NDArray[np.int64]

CS = (1e-8, 1e-6, 1e-4, 1e-3, 1e-1, 1e1, 1e2)


@dataclass(frozen=True)
class Fit:
    """One problem and the settings of its fit."""

    name: str
    X: NDArray[np.floating]
    y: Int
    n_classes: int
    C: float
    augment: bool

    def __str__(self) -> str:
        intercept = "augment" if self.augment else "none"
        return f"{self.name} K={self.n_classes} {self.X.dtype} C={self.C:g} intercept={intercept}"

    def solve(self) -> Solution:
        return solve(self.X, self.y, self.C, n_classes=self.n_classes, augment=self.augment, max_sweeps=2000)


def large_mean() -> tuple[Float, Int]:
    """Two features around 1,000; earlier versions raised an error on this problem."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 800)
    return rng.normal(size=(800, 2)) + 1e3, labels


def low_rank(n: int, d: int, rank: int, n_classes: int, seed: int = 0, spread: float = 2.0) -> tuple[Float, Int]:
    """Overlapping classes in a subspace."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % n_classes)
    inner = rng.normal(size=(n_classes, rank))[labels] + spread * rng.normal(size=(n, rank))
    return inner @ rng.normal(size=(rank, d)), labels


def problems() -> Iterator[tuple[str, Float, Int, int]]:
    """Yield name, features, labels and K."""
    rng = np.random.default_rng(0)

    def labels(n: int, n_classes: int) -> Int:
        return rng.permutation(np.arange(n) % n_classes)

    yield "large mean", *large_mean(), 4
    for n, d, n_classes, mean in ((400, 2, 4, 1e2), (300, 1, 3, 1e3), (300, 3, 20, 1e3), (300, 2, 2, 1e4)):
        yield f"mean {mean:g}, d={d}", rng.normal(size=(n, d)) + mean, labels(n, n_classes), n_classes
    for n, d, rank, n_classes in ((600, 64, 9, 10), (400, 30, 2, 20), (400, 40, 1, 3)):
        X, y = low_rank(n, d, rank, n_classes)
        yield f"rank {rank} of {d}", X, y, n_classes
        yield f"rank {rank} of {d}, noise", X + 1e-3 * rng.normal(size=X.shape), y, n_classes
    for n_classes in (2, 5, 20):
        y = labels(300, n_classes)
        X = rng.normal(size=(300, 8)) + rng.normal(size=(n_classes, 8))[y]
        constant = X.copy()
        constant[:, 3] = 1e3
        yield "constant column", constant, y, n_classes
        yield "duplicates", np.tile(X[:60], (5, 1)), np.tile(labels(60, n_classes), 5), n_classes
        yield "duplicates of other labels", np.tile(X[:60], (5, 1)), y, n_classes
        yield "all zero", np.zeros((100, 4)), y[:100], n_classes
        yield "all one", np.ones((100, 4)), y[:100], n_classes
        some_zero = X.copy()
        some_zero[::3] = 0.0
        yield "every third zero", some_zero, y, n_classes
        for scale in (1e-8, 1e-6, 1e-3, 1e3):
            yield f"scale {scale:g}", scale * X, y, n_classes
        yield "rows of all scales", X * np.exp(3.0 * rng.normal(size=(300, 1))), y, n_classes
        yield "columns of all scales", X * np.exp(3.0 * rng.normal(size=8)), y, n_classes
        plane = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 2)) + 5.0 * rng.normal(size=(n_classes, 2))[y]
        yield "a plane through PReLU", np.where(plane > 0.0, plane, 0.25 * plane), y, n_classes
        yield "small integers", rng.integers(0, 3, size=(300, 3)).astype(np.float64), y, n_classes


def fits() -> list[Fit]:
    """Return every problem with every C, intercept and type."""
    return [
        Fit(name, X.astype(dtype), y, n_classes, C, augment)
        for (name, X, y, n_classes), dtype, augment, C in product(
            problems(), (np.float64, np.float32), (False, True), CS
        )
    ]


def main() -> None:
    ends: Counter[str] = Counter()
    slowest = (0.0, "")
    for fit in fits():
        began = time.perf_counter()
        solution = fit.solve()
        slowest = max(slowest, (time.perf_counter() - began, str(fit)))
        end = "converged" if solution.certificate.converged else solution.reason.split(": ")[-1][:7]
        ends[end] += 1
        if end != "converged":
            print(f"{fit}: {solution.reason}")
    print(f"{dict(ends)}; slowest {slowest[0]:.1f} s: {slowest[1]}")


if __name__ == "__main__":
    main()
