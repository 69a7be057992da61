"""A query to the explorer against the dense way of the published code, alternately in one process.

Dense: the product of every query with all N training features, times all K columns of alpha, (batch, N, K), then the one
class gathered. Ours: the rows with a non-zero coefficient of the one class. Both give the attribution of every training
image; the numbers are compared before anything is timed.

    python -m tests.benchmarks.bench_attribution [RUN]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from xda.services import layout
from xda.services.served_surrogate import ServedSurrogate
from xda.storage.run_folder import RunFolder

REPETITIONS = 5
BATCH = 2000
DENSE_BATCH = 16
"""Queries the dense way takes at once; its product has DENSE_BATCH * N * K entries."""


def dense(
    features: torch.Tensor, dual_coef: torch.Tensor, queries: torch.Tensor, classes: torch.Tensor
) -> torch.Tensor:
    """Return attributions of all training samples, shape (n, N), as the published code computes them."""
    parts = []
    for start in range(0, len(queries), DENSE_BATCH):
        chosen = slice(start, start + DENSE_BATCH)
        full = (queries[chosen] @ features.T)[:, :, None] * dual_coef[None]
        index = classes[chosen, None, None].expand(-1, len(features), 1)
        parts.append(full.gather(2, index)[:, :, 0])
    return torch.cat(parts)


def sparse(
    served: ServedSurrogate, queries: NDArray[np.float32], classes: NDArray[np.int64]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
    """Return for each class the queries, the support vectors and their attributions, shape (m, n)."""
    result = []
    for target in np.unique(classes).tolist():
        members = np.flatnonzero(classes == target)
        rows, values = served.values(queries[members], target, None)
        result.append((members, served.support.index[rows], values))
    return result


def compare(name: str, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
    """Time both sides alternately and print medians and their ratio."""
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    ours(), theirs()
    for _ in range(REPETITIONS):
        for side, call in (("ours", ours), ("theirs", theirs)):
            start = time.perf_counter()
            call()
            seconds[side].append(time.perf_counter() - start)
    ours_median, theirs_median = statistics.median(seconds["ours"]), statistics.median(seconds["theirs"])
    ratio = theirs_median / ours_median
    print(f"{name:<28} {1e3 * ours_median:>10.3f} ms {1e3 * theirs_median:>12.3f} ms {ratio:>9.0f} x")


def main(path: Path) -> None:
    """Run the benchmark on a run folder."""
    run = RunFolder.open(path, verify=False)
    labels = run.table(layout.table("train"))["label"].to_numpy().astype(np.int64)
    train = torch.from_numpy(np.array(run.array(layout.features("train"))))
    queries = np.array(run.array(layout.features("test"))[:BATCH])
    classes = np.asarray(run.array(layout.logits("test"))[:BATCH].argmax(axis=1))
    print(f"{'query':<28} {'explorer':>13} {'dense':>15} {'ratio':>11}")
    for entry in run.manifest.surrogates:
        served = ServedSurrogate(run, entry.c, labels, torch.device("cpu"))
        dual = np.zeros((len(labels), len(run.manifest.classes)), dtype=np.float32)
        dual[served.support.index] = served.support.dual_coef.toarray()
        dual_coef = torch.from_numpy(dual)
        few = 64
        expected = dense(train, dual_coef, torch.from_numpy(queries[:few]), torch.from_numpy(classes[:few])).numpy()
        found = np.zeros_like(expected)
        for members, index, values in sparse(served, queries[:few], classes[:few]):
            found[members[:, None], index[None]] = values.T
        deviation = float(np.abs(found - expected).max() / np.abs(expected).max())
        assert deviation < 1e-5, f"the two sides differ by {deviation:.2g}"
        for count in (1, BATCH):
            chosen, targets = queries[:count], classes[:count]
            many, many_targets = torch.from_numpy(chosen), torch.from_numpy(targets)
            compare(
                f"C = {entry.c:g}, {count:,} image(s)",
                lambda chosen=chosen, targets=targets, served=served: sparse(served, chosen, targets),  # type: ignore[misc]
                lambda many=many, many_targets=many_targets, dual_coef=dual_coef: dense(  # type: ignore[misc]
                    train, dual_coef, many, many_targets
                ),
            )
    print(f"Largest deviation between the two: below 1e-5 of the largest attribution; {len(labels):,} training images.")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/mnist-cnn"))
