"""Compares the explorer's queries with the dense method of the published code, alternately in one process.

Dense: the product of every query with all N training features, times all K columns of alpha, (batch, N, K), then the
one class gathered. Ours, *index*: what the explorer answers, the 12 strongest of each sign with exact totals, from the
precomputed index. Ours, *on demand*: every non-zero attribution, from the rows of the one class (as for any other
target or a contrast). The numbers of all three are compared before anything is timed.

    python -m tests.benchmarks.bench_attribution [RUN]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from xda.decision import Decision
from xda.explanation.fitted_surrogate import ServedSurrogate
from xda.explanation.run import Explainer
from xda.storage.run import layout

REPETITIONS = 5
BATCH = 2000
SINGLES = 100
"""Each round of the first row requests so many images, one at a time."""
LIMIT = 12
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
        rows, values = served.values(queries[members], Decision(0, served.c, target))
        result.append((members, served.support.index[rows], values))
    return result


def compare(name: str, sides: dict[str, Callable[[], object]], queries: int = 1) -> None:
    """Time all sides in turn and print medians of a query, and how many times slower the dense way is."""
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for repetition in range(REPETITIONS + 1):
        for side, call in sides.items():
            start = time.perf_counter()
            call()
            if repetition > 0:  # the first round warms up
                seconds[side].append((time.perf_counter() - start) / queries)
    median = {side: 1e3 * statistics.median(values) for side, values in seconds.items()}
    cells = [f"{median[side]:>10.3f} ms ({median['dense'] / median[side]:>4.0f} x)" for side in ("index", "on demand")]
    print(f"{name:<24} {'  '.join(cells)} {median['dense']:>12.3f} ms")


def check(explainer: Explainer, c: float, expected: NDArray[np.float32], classes: NDArray[np.int64]) -> float:
    """Return the largest deviation of both of our answers from the dense way, relative to the largest attribution."""
    served = explainer.surrogate(c)
    found = np.zeros_like(expected)
    for members, index, values in sparse(served, explainer.test_features[: len(expected)], classes):
        found[members[:, None], index[None]] = values.T
    worst = float(np.abs(found - expected).max())
    for test, row in enumerate(expected):
        explanation = explainer.explain(test, c=c, limit=LIMIT)
        for entry in explanation.supporting + explanation.opposing:
            worst = max(worst, abs(entry.attribution - float(row[entry.index])))
    return worst / float(np.abs(expected).max())


def main(path: Path) -> None:
    """Run the benchmark on a run folder."""
    with Explainer.open(path, device="cpu") as explainer:
        train = torch.from_numpy(np.array(explainer.run.array(layout.features("train"))))
        features = np.array(explainer.test_features[:BATCH])
        queries = torch.from_numpy(features)
        classes = np.array([explainer.explain(test, limit=0).target for test in range(len(features))])
        targets = torch.from_numpy(classes)
        print(f"{'query':<24} {'index':>22} {'on demand':>23} {'dense':>15}     (medians of {REPETITIONS})")
        for c in explainer.c_values:
            served = explainer.surrogate(c)
            dual = np.zeros((explainer.n_train, len(explainer.classes)), dtype=np.float32)
            dual[served.support.index] = served.support.dual_coef.toarray()
            dual_coef = torch.from_numpy(dual)
            deviation = check(explainer, c, dense(train, dual_coef, queries[:64], targets[:64]).numpy(), classes[:64])
            assert deviation < 1e-5, f"the sides differ by {deviation:.2g}"

            def index(c: float, n: int) -> None:
                for test in range(n):
                    explainer.explain(test, c=c, limit=LIMIT)

            def on_demand(served: ServedSurrogate, n: int) -> None:
                for test in range(n):
                    served.values(features[test], Decision(test, served.c, int(classes[test])))

            def dense_singly(dual_coef: torch.Tensor, n: int) -> None:
                for test in range(n):
                    dense(train, dual_coef, queries[test : test + 1], targets[test : test + 1])

            compare(
                f"C = {c:g}, one image",
                {
                    "index": partial(index, c, SINGLES),
                    "on demand": partial(on_demand, served, SINGLES),
                    "dense": partial(dense_singly, dual_coef, SINGLES),
                },
                SINGLES,
            )
            compare(
                f"C = {c:g}, {len(features):,} images",
                {
                    "index": partial(index, c, len(features)),
                    "on demand": partial(sparse, served, features, classes),
                    "dense": partial(dense, train, dual_coef, queries, targets),
                },
            )
        print("The numbers of all sides agree to 1e-5 of the largest attribution (checked before timing).")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/mnist-cnn"))
