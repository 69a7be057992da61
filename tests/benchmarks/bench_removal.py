"""Estimated effects of removal against refits: what is predicted, what is measured, and for which choice of images.

For twenty decisions of a run, half of them wrong, the surrogate is fitted again without k training images, chosen in
four ways: by removal effect, by their share of the sum, the nearest supporters, and at random among the supporters.
The question is why the predicted class and not the runner-up of the surrogate. Beside it the time of an explanation
with its removal effects. Prints Markdown.

    python -m tests.benchmarks.bench_removal [RUN ...] [--c C ...] [--decisions N] [--most K]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xda.attribution.decomposition import Decomposition
from xda.decision import Decision
from xda.explanation.run import Explainer
from xda.progress import TerminalProgress

SIZES = (1, 5, 20, 100)
TIMED = 100
Choice = Callable[[Explainer, Decomposition], NDArray[np.int64]]


def by_effect(explainer: Explainer, parts: Decomposition) -> NDArray[np.int64]:
    """Return supporters by removal effect, strongest first."""
    ranked = parts.ranked("removal")
    return ranked.index[ranked.value < 0]


def by_share(explainer: Explainer, parts: Decomposition) -> NDArray[np.int64]:
    """Return supporters by tau."""
    return parts.index[parts.attribution > 0]


def nearest(explainer: Explainer, parts: Decomposition) -> NDArray[np.int64]:
    """Return supporters by the cosine of their features with the image's."""
    index = by_share(explainer, parts)
    features = explainer.train_features[index].astype(np.float64)
    query = explainer.test_features[parts.decision.test].astype(np.float64)
    cosine = features @ query / np.maximum(1e-12, np.linalg.norm(features, axis=1))
    return index[np.argsort(-cosine, kind="stable")]


def at_random(explainer: Explainer, parts: Decomposition) -> NDArray[np.int64]:
    """Return supporters in an order of chance."""
    return np.random.default_rng(parts.decision.test).permutation(by_share(explainer, parts))


CHOICES: dict[str, Choice] = {
    "removal effect": by_effect,
    "share of the sum": by_share,
    "nearest supporters": nearest,
    "random supporters": at_random,
}


def decisions(explainer: Explainer, c: float, count: int) -> list[Decision]:
    """Return decisions of which half are wrong, where surrogate and network agree."""
    logits = explainer.surrogate(c).test_logits
    predicted, labels = explainer.outcomes.predicted["test"], explainer.labels("test")
    agreed = np.flatnonzero(logits.argmax(axis=1) == predicted)
    rng = np.random.default_rng(0)
    chosen = []
    for group in (agreed[predicted[agreed] != labels[agreed]], agreed[predicted[agreed] == labels[agreed]]):
        chosen += rng.permutation(group)[: count // 2].tolist()
    found = []
    for test in chosen:
        target, against = np.argsort(-logits[test])[:2].tolist()
        found.append(explainer.decide(test, c=c, target=target, against=against))
    return found


def milliseconds(explainer: Explainer, c: float, rank: str) -> float:
    """Return the median time of an explanation."""
    took = []
    for test in range(min(TIMED, explainer.n_test)):
        start = time.perf_counter()
        explainer.explain(test, c=c, rank=rank)  # type: ignore[call-overload]
        took.append(time.perf_counter() - start)
    return 1e3 * statistics.median(took)


def rows(explainer: Explainer, c: float, count: int, most: int) -> Iterator[str]:
    """Yield the rows of one surrogate."""
    asked = decisions(explainer, c, count)
    for size in (each for each in SIZES if each <= most):
        for name, choice in CHOICES.items():
            measured = []
            for decision in asked:
                removed = choice(explainer, explainer.decompose(decision))[:size].tolist()
                measured.append(explainer.measured_removal(decision, removed))
            predicted, change = (np.array([getattr(one, of) for one in measured]) for of in ("estimate", "change"))
            flips = sum(one.before > 0 > one.after for one in measured)
            alike = np.corrcoef(predicted, change)[0, 1] if predicted.std() and change.std() else np.nan
            seconds = statistics.median(one.seconds for one in measured)
            yield (
                f"| {c:g} | {size} | {name} | {predicted.mean():+.3g} | {change.mean():+.3g} | {alike:.2f} | "
                f"{flips} of {len(measured)} | {seconds:.2f} |"
            )


def main() -> None:
    """Run the benchmark on run folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", default=[Path("runs/mnist-cnn")])
    parser.add_argument("--c", type=float, action="append")
    parser.add_argument("--decisions", type=int, default=20)
    parser.add_argument("--most", type=int, default=max(SIZES))
    options = parser.parse_args()
    for path in options.runs:
        with Explainer.open(path, device="cpu") as explainer:
            for c in options.c or explainer.c_values:
                start = time.perf_counter()
                with TerminalProgress() as progress:
                    explainer.prepare_removal(c=c, progress=progress)
                ready = time.perf_counter() - start
                took = {rank: milliseconds(explainer, c, rank) for rank in ("image", "removal")}
                print(
                    f"\n{explainer.title}, C = {c:g}: ready in {ready:.1f} s; one explanation with its removal effects "
                    f"{took['removal']:.2f} ms, for this image {took['image']:.2f} ms (medians of {TIMED})\n"
                )
                print("| C | k | chosen by | predicted | measured | correlation | flips | refit, s |")
                print("|---|---|---|---|---|---|---|---|")
                for row in rows(explainer, c, options.decisions, options.most):
                    print(row, flush=True)


if __name__ == "__main__":
    main()
