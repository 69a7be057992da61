"""Tests whether heat-maps name the pixels that carry a contribution (method section 10), against other orders.

    python -m tests.benchmarks.bench_deletion RUN [RUN ...] [--pairs 100] [--minutes 60] [--along 28 8]

Half of the pairs are a test image with one of its twelve strongest supporters, half with one of its twelve strongest
opposers; test images and partners are drawn with a fixed seed, C is the run's default. On each side of a pair
(the other side's features stay) cells of the image are replaced, by the image's mean colour or by a blurred copy, and
the contribution tau is computed again by the network. ``xda.evaluate.deletion`` has the metric. The orders:

* ``relevance``, ``gradient x input``: by the amount of the map, summed over a cell;
* the same, signed: first those cells that the map says have the sign of tau;
* ``change``: by how much the replacement changes the pixels, which knows neither the network nor the partner;
* ``random``: another order for each image.

Prints two markdown tables for each run: areas (mean and standard error over the pairs, smaller is better), and for
each rival the share of pairs in which relevance has the smaller area, with the mean difference.
Everything is done with fine cells (28 or more along the shorter side: single pixels of MNIST and CIFAR-10) and with
coarse ones (8 or more). Scattered fine cells make a noise that no network was trained for and that wears tau down
wherever it falls, so a random order does well with them; coarse cells leave whole regions.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from xda.data.tensors import AsGiven
from xda.evaluate import deletion
from xda.explanation.run import Explainer
from xda.networks.heads import split_head
from xda.networks.loading import open_network
from xda.networks.spec import NetworkSpec
from xda.relevance.relevance_model import RelevanceModel
from xda.storage.run import layout

LISTED = 12
"""Partners are drawn from as many of each sign as a page shows at first."""
BATCH = 16
CELLS_ALONG = (28, 8)
"""Cells along the shorter side of an image, at least: fine and coarse."""
Key = tuple[str, str, int]
"""Side, replacement, side of a cell in pixels."""
RELEVANCE, GRADIENT, CHANGE, RANDOM = "relevance", "gradient × input", "change", "random"
SIGNED, SIGNED_GRADIENT = "relevance, signed", "gradient × input, signed"
ORDERS = (RELEVANCE, GRADIENT, CHANGE, RANDOM, SIGNED, SIGNED_GRADIENT)
RIVALS = ((RELEVANCE, GRADIENT), (RELEVANCE, CHANGE), (RELEVANCE, RANDOM), (SIGNED, SIGNED_GRADIENT))
REPLACEMENTS = {"mean colour": deletion.mean_colour, "blur": deletion.blurred}
TOLERANCE = 1e-3
"""Largest relative deviation of tau through the opened network from the run's own."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A test image and a training image with a contribution tau, which is not zero."""

    test: int
    train: int
    tau: float
    weight: float
    """The dual variable alpha_i^c."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a pair: tau is the product of ``weights`` with the features of ``image``."""

    image: NDArray[np.float32]
    """As the network takes it, shape (C, H, W)."""
    features: NDArray[np.float64]
    weights: NDArray[np.float64]


def draw_pairs(run: Explainer, n: int, rng: np.random.Generator) -> list[Pair]:
    """Return n pairs of different test images, supporters and opposers in turn; fewer if the run has too few."""
    pairs: list[Pair] = []
    support = run.surrogate(run.default_c).support
    for test in rng.permutation(run.n_test).tolist():
        told = run.explain(test, limit=LISTED)
        listed = told.opposing if len(pairs) % 2 else told.supporting
        if listed and len(pairs) < n:
            chosen = listed[rng.integers(len(listed))]
            weight = float(support.row(chosen.index)[told.target])
            pairs.append(Pair(test, chosen.index, chosen.attribution - chosen.intercept, weight))
    return pairs


def sides(run: Explainer, pair: Pair) -> Iterator[tuple[str, Side]]:
    """Yield both sides of a pair."""
    test, train = run.preprocessing.array([run.run.image("test", pair.test), run.run.image("train", pair.train)])
    on_test = run.test_features[pair.test].astype(np.float64)
    on_train = run.train_features[pair.train].astype(np.float64)
    yield "test", Side(test, on_test, pair.weight * on_train)
    yield "training", Side(train, on_train, pair.weight * on_test)


def measure_side(
    side: Side,
    tau: float,
    maps: Sequence[NDArray[np.float32]],
    features: deletion.Features,
    cell: int,
    rng: np.random.Generator,
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield for each replacement the areas of the ``ORDERS`` and, last, tau with every pixel replaced over tau.

    The maps are relevance and gradient x input, (H, W) each.
    """
    cells = deletion.cell_numbers(side.image.shape[1:], cell)
    sums = [deletion.cell_sums(each, cells) for each in maps]
    amounts, signed = [np.abs(each) for each in sums], [np.sign(tau) * each for each in sums]
    for name, replace in REPLACEMENTS.items():
        replacement = replace(side.image)
        change = deletion.cell_sums(np.abs(side.image - replacement).sum(axis=0), cells)
        scores = (*amounts, change, rng.random(len(change)), *signed)
        orders = [deletion.order_of(score, rng) for score in scores]
        curves = deletion.curves(features, side.image, replacement, side.weights, orders, cells)
        yield name, np.append(deletion.area(curves), curves[0, -1])


def computed_by(phi: nn.Module) -> deletion.Features:
    """Return a function that computes features in small batches, with channels last, which is faster."""
    last = copy.deepcopy(phi).to(memory_format=torch.channels_last)

    def features(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            batches = torch.split(torch.from_numpy(images), BATCH)
            found = [last(batch.contiguous(memory_format=torch.channels_last)) for batch in batches]
            return np.asarray(torch.cat(found).numpy())

    return features


def measure(path: Path, n: int, minutes: float, along: Sequence[int]) -> tuple[str, dict[Key, NDArray[np.float64]]]:
    """Measure a run; return a line about it, and what ``measure_side`` yields for each pair, (pairs, 7)."""
    rng = np.random.default_rng(0)
    started = time.perf_counter()
    rows: dict[Key, list[NDArray[np.float64]]] = {}
    with Explainer.open(path, device="cpu") as run:
        spec = NetworkSpec.from_dict(run.run.manifest.network.spec)
        network = open_network(spec, run.run.read(layout.NETWORK), layout.NETWORK)
        size = run.preprocessing.size
        model = RelevanceModel(network, AsGiven((run.preprocessing.channels, *size)), torch.device("cpu"))
        phi, _ = split_head(network.requires_grad_(False))
        features = computed_by(phi)
        done = 0
        for pair in draw_pairs(run, n, rng):
            for name, side in sides(run, pair):
                (found,) = features(side.image[None]) @ side.weights
                assert abs(found - pair.tau) < TOLERANCE * abs(pair.tau), f"{pair}: the network gives {found:g}"
                maps = (
                    model.maps([side.image], (side.weights * side.features)[None])[0],
                    deletion.gradient_times_input(phi, side.image[None], side.weights[None])[0],
                )
                for cell in (max(1, min(size) // count) for count in along):
                    for replaced, values in measure_side(side, pair.tau, maps, features, cell, rng):
                        rows.setdefault((name, replaced, cell), []).append(values)
            done += 1
            print(f"{path.name}: {done} of {n}", file=sys.stderr, flush=True)
            if time.perf_counter() - started > 60 * minutes:
                break
        about = f"{run.title}, C = {run.default_c:g}, {done} pairs, {time.perf_counter() - started:.0f} s"
    return about, {key: np.stack(values) for key, values in rows.items()}


def mean_and_error(values: NDArray[np.float64], sign: str = "") -> str:
    """Return the mean of values (n,) and its standard error as text."""
    return f"{values.mean():{sign}.3f} ± {values.std(ddof=1) / np.sqrt(len(values)):.3f}"


def report(about: str, measured: dict[Key, NDArray[np.float64]]) -> str:
    """Return both tables of a run in markdown."""
    head = "| side, replaced by, cell |"
    lines = [f"### {about}", "", f"{head} {' | '.join(ORDERS)} | all replaced |", "|---" * 8 + "|"]
    for key, values in measured.items():
        areas = " | ".join(mean_and_error(column) for column in values.T)
        lines.append(f"| {told(key)} | {areas} |")
    heads = " | ".join(f"{ours} against {rival}" for ours, rival in RIVALS)
    lines += ["", f"{head} {heads} |", "|---" * 5 + "|"]
    for key, values in measured.items():
        cells = []
        for ours, rival in RIVALS:
            difference = values[:, ORDERS.index(ours)] - values[:, ORDERS.index(rival)]
            cells.append(f"{np.mean(difference < 0):.0%}, {mean_and_error(difference, '+')}")
        lines.append(f"| {told(key)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def told(key: Key) -> str:
    """Return the first cell of a table's row."""
    side, replaced, cell = key
    return f"{side}, {replaced}, {cell} × {cell}"


def main() -> None:
    """Measure the runs and print their tables."""
    parser = argparse.ArgumentParser(description="Whether heat-maps name the pixels that carry a contribution.")
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=60, help="of a run; the pairs so far are reported then")
    parser.add_argument("--along", nargs="+", type=int, default=CELLS_ALONG, help="cells along an image's shorter side")
    options = parser.parse_args()
    for path in options.runs:
        print(report(*measure(path, options.pairs, options.minutes, options.along)), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
