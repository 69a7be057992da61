"""Measures the surrogate's time against LIBLINEAR, along a path of C and for an update.

    python -m tests.benchmarks.bench_surrogate [compare] [path] [update] [--run RUN] [--sets mnist,…] [--quick]

Real features are read from the folder ``XDA_BENCH_FEATURES`` (or ``--features``): ``mnist_x.npy``, ``mnist_y.npy``,
``cifar_x.npy``, ``cifar_y.npy``, as a network of method section 5 gives them. Without the folder, synthetic features
of the same shapes stand in, and the table says so.

Both sides run alternately in one process on the same features; figures are medians of wall-clock seconds.
LIBLINEAR runs at its default tolerance 1e-4, its training call alone (input already in its own layout);
ours runs to a relative duality gap of 1e-6 with the certificate included.
"""

# ruff: noqa: N803, N806 - C and X are the names of the field
from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import _liblinear

from xda.storage.run import layout
from xda.storage.run.folder import RunFolder
from xda.surrogate import CrammerSingerSVC, Solution, solve

Data = tuple[NDArray[Any], NDArray[np.int64]]


def synthetic(n_samples: int, n_features: int, n_classes: int, seed: int = 0, mixture: int | None = None) -> Data:
    """Features with the statistics of trained ones: non-negative, half of them zero, low-rank classes that overlap.

    `mixture` seeds the classes where parts of one data set are drawn with several seeds.
    """
    rng = np.random.default_rng(seed if mixture is None else mixture)
    rank = min(n_features, 4 * n_classes, 256)
    directions = rng.normal(size=(rank, n_features)).astype(np.float32) / np.sqrt(rank)
    centres = rng.normal(size=(n_classes, rank)).astype(np.float32)
    if mixture is not None:
        rng = np.random.default_rng((seed, mixture, 1))
    labels = rng.integers(0, n_classes, n_samples)
    features = np.empty((n_samples, n_features), dtype=np.float32)
    for start in range(0, n_samples, 8192):
        part = labels[start : start + 8192]
        noise = rng.normal(size=(len(part), rank)).astype(np.float32)
        features[start : start + 8192] = np.maximum(0.2 * (centres[part] + 0.8 * noise) @ directions, 0.0)
    return features, labels.astype(np.int64)


def load(folder: Path | None, name: str, shape: tuple[int, int, int], run: Path | None = None) -> tuple[str, Data]:
    """Return the features of a data set, or synthetic ones of its shape, and their name."""
    if run is not None and name == "mnist":
        opened = RunFolder.open(run, verify=False)
        labels = opened.table(layout.table("train"))["label"].to_numpy().astype(np.int64)
        return run.name, (np.array(opened.array(layout.features("train"))), labels)
    if folder is not None and (folder / f"{name}_x.npy").exists():
        return name, (np.load(folder / f"{name}_x.npy"), np.load(folder / f"{name}_y.npy").astype(np.int64))
    return f"{name}-shaped, synthetic", synthetic(*shape)


def liblinear(X: NDArray[np.float64], y: NDArray[np.float64], C: float) -> NDArray[np.float64]:
    """Train MCSVM_CS (solver 4) at LIBLINEAR's default tolerance; return the weights."""
    _liblinear.set_verbosity_wrap(0)
    weights, _ = _liblinear.train_wrap(X, y, False, 4, 1e-4, -1.0, C, np.empty(0), 1_000_000, 0, 0.1, np.ones(len(y)))
    return np.asarray(weights)


def timed(call: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[float, Any]:
    """Return the seconds that a call takes, and its result."""
    began = time.perf_counter()
    result = call(*args, **kwargs)
    return time.perf_counter() - began, result


def compare(sets: list[tuple[str, Data, tuple[float, ...]]], repeats: int) -> None:
    """Print one line per data set and C: both medians, the ratio, the certificate."""
    print(f"{'features':28} {'C':>6} {'LIBLINEAR':>10} {'ours':>8} {'ratio':>6} {'gap':>8} {'rows':>6} {'bounded':>8}")
    for name, (X, y), Cs in sets:
        theirs_X, theirs_y = np.ascontiguousarray(X, dtype=np.float64), y.astype(np.float64)
        n_classes = int(y.max()) + 1
        for C in Cs:
            theirs, ours = [], []
            solution: Solution | None = None
            for _ in range(repeats):
                theirs.append(timed(liblinear, theirs_X, theirs_y, C)[0])
                seconds, solution = timed(solve, X, y, C, n_classes=n_classes)
                ours.append(seconds)
            assert solution is not None
            proof = solution.certificate
            left, right = statistics.median(theirs), statistics.median(ours)
            print(
                f"{name:28} {C:6g} {left:9.2f}s {right:7.2f}s {left / right:5.1f}x {proof.relative_gap:8.1e} "
                f"{proof.n_support:6d} {proof.n_bounded:8d}",
                flush=True,
            )


def path(sets: list[tuple[str, Data, tuple[float, ...]]], repeats: int) -> None:
    """Print the time of three C together with warm starts, and of the slowest alone."""
    for name, (X, y), Cs in sets:
        together, alone = [], []
        for _ in range(repeats):
            together.append(timed(CrammerSingerSVC.path, X, y, Cs)[0])
            alone.append(max(timed(CrammerSingerSVC(C=C).fit, X, y)[0] for C in Cs))
        left, right = statistics.median(together), statistics.median(alone)
        print(f"path {name:28} {Cs}: {left:.2f}s together, {right:.2f}s the dearest alone, {left / right:.2f}x")


def update(name: str, data: Data, repeats: int) -> None:
    """Print the time to remove and relabel samples at C = 1e-3."""
    X, y = data
    svc = CrammerSingerSVC(C=1e-3).fit(X, y)
    rng = np.random.default_rng(0)
    for count in (1, 10, 100):
        chosen = rng.choice(svc.support_, count, replace=False)
        idle = rng.choice(np.setdiff1d(np.arange(len(y)), svc.support_), count, replace=False)
        labels = {int(i): int((y[i] + 1) % (y.max() + 1)) for i in chosen}
        changes: dict[str, dict[str, Any]] = {
            "remove support": {"remove": chosen},
            "remove zero rows": {"remove": idle},
            "relabel support": {"relabel": labels},
        }
        for what, change in changes.items():
            runs = [timed(svc.refit, **change) for _ in range(repeats)]
            gap = runs[-1][1].certificate_.relative_gap
            print(f"update {name}: {what:17} {count:4d}: {statistics.median(r[0] for r in runs):.3f}s gap {gap:.1e}")


def main() -> int:
    """Run the chosen benchmarks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", nargs="*", default=["compare", "path", "update"])
    parser.add_argument("--features", type=Path, default=os.environ.get("XDA_BENCH_FEATURES"))
    parser.add_argument("--run", type=Path, help="a run folder of MNIST, whose features are taken")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="small synthetic problems, to see that it runs")
    parser.add_argument("--sets", default="mnist,cifar,awa2")
    parser.add_argument("--cs", default="1e-5,1e-3,1e-1")
    options = parser.parse_args()
    folder = Path(options.features) if options.features else None
    if options.run is None and (folder is None or not folder.is_dir()):
        print(f"no features in {folder}: synthetic ones stand in (XDA_BENCH_FEATURES=folder with mnist_x.npy …)")
    shapes = {"mnist": (60_000, 100, 10), "cifar": (50_000, 512, 10), "awa2": (34_000, 2_048, 50)}
    if options.quick:
        shapes = {"mnist": (4_000, 50, 10)}
    wanted = tuple(float(C) for C in options.cs.split(","))
    warnings.simplefilter("ignore")
    solve(*synthetic(300, 10, 3), 1e-3, n_classes=3)  # compile before the clock runs
    sets = []
    for name, shape in shapes.items():
        if name in options.sets.split(","):
            label, data = load(folder, name, shape, options.run)
            sets.append((label, data, tuple(C for C in wanted if name != "awa2" or C < 1e-2)))
    if "compare" in options.what:
        compare(sets, options.repeats)
    if "path" in options.what:
        path(sets, options.repeats)
    if "update" in options.what and sets:
        update(sets[0][0], sets[0][1], options.repeats)
    return 0


if __name__ == "__main__":
    sys.exit(main())
