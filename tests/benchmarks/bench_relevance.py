"""Measures the cost of heat-maps against the network itself.

    python -m tests.benchmarks.bench_relevance [--preset mnist-cnn] [--weights FILE] [--rounds 60] [--threads N]
    python -m tests.benchmarks.bench_relevance --torchvision resnet50 [--size 224] [--rounds 5] [--threads N]

16 pairs of one test image, cold: 16 maps on the test image and one on each of its 16 training partners, from the
encoded images (PNG) to arrays, against a plain forward and backward pass of the network over the same 16 + 1 images,
which starts from tensors and computes gradients of the images only (the cheaper one; with gradients of the weights it
is shown too). All ways take turns in one process; medians, and the median of the ratios within a turn. Target: under 4.
zennit by hand, a forward pass for every seed, is timed for presets only.
Memory is by how much the first such request raises the peak of the process, the model being there.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from zennit.composites import EpsilonPlusFlat
from zennit.torchvision import ResNetCanonizer

from xda.data.dataset import ArraySource
from xda.data.preprocessing import Preprocessing
from xda.networks.checkpoints import load_weights
from xda.networks.heads import split_head
from xda.networks.presets import get_preset
from xda.networks.spec import NetworkSpec, build_network
from xda.relevance.relevance_model import RelevanceModel

PAIRS = 16
TARGET = 4.0


@dataclass(frozen=True, slots=True)
class Result:
    """Times of one network, in milliseconds, and their ratios to the plain pass."""

    name: str
    threads: int
    plain: float
    plain_with_weights: float
    pairs: float
    by_hand: float | None
    """None if it was not measured."""
    ratio: float
    ratio_by_hand: float | None
    memory: float
    """In MiB."""
    conservation_error: float


def of_preset(name: str, weights: Path | None = None) -> tuple[nn.Module, Preprocessing]:
    """Return a preset network, with random weights or its own."""
    torch.manual_seed(0)
    network = build_network(NetworkSpec(name, 10)).eval()
    if weights is not None:
        load_weights(network, weights)
    return network, get_preset(name).preprocessing


def of_torchvision(name: str, size: int) -> tuple[nn.Module, Preprocessing]:
    """Return a torchvision model with random weights."""
    torch.manual_seed(0)
    network = build_network(NetworkSpec(name, 10, kind="torchvision")).eval()
    return network, Preprocessing(mode="RGB", size=(size, size), mean=(0.5,) * 3, std=(0.25,) * 3)


def measure(
    name: str, network: nn.Module, preprocessing: Preprocessing, rounds: int = 60, with_hooks: bool = True
) -> Result:
    """Time the ways in turn.

    Parameters
    ----------
    name : str
        For the report.
    network : nn.Module
        A residual network, or one that needs no canonizer.
    preprocessing : Preprocessing
    rounds : int
        Turns.
    with_hooks : bool
        Time zennit by hand too.
    """
    device = torch.device("cpu")
    size = preprocessing.size if preprocessing.mode == "L" else (*preprocessing.size, 3)
    source = ArraySource(np.random.default_rng(0).integers(0, 256, (1 + PAIRS, *size)).astype(np.uint8))
    encoded = [source.encoded(i) for i in range(1 + PAIRS)]
    images = torch.from_numpy(preprocessing.array(encoded))
    model = RelevanceModel(network, preprocessing, device)
    z, _ = model.features(encoded)
    relevance = z[0] * z[1:]
    seeds = torch.from_numpy(np.concatenate([relevance, relevance]))
    repeated = images[[0] * PAIRS + list(range(1, PAIRS + 1))]
    phi, _ = split_head(network)

    def plain() -> None:
        network.requires_grad_(False)
        x = images.clone().requires_grad_()
        torch.autograd.grad(network(x).sum(), x)

    def plain_with_weights() -> None:
        network.requires_grad_(True)
        x = images.clone().requires_grad_()
        torch.autograd.grad(network(x).sum(), [x, *network.parameters()])

    def pairs() -> None:
        model.pair_maps(encoded[0], encoded[1:], relevance)

    def by_hand() -> None:
        x = repeated.clone().requires_grad_()
        composite = EpsilonPlusFlat(zero_params="bias", canonizers=[ResNetCanonizer()])
        with composite.context(phi) as ruled:
            torch.autograd.grad(ruled(x), x, seeds)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pairs()
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    ways: list[Callable[[], None]] = [plain, plain_with_weights, pairs, *([by_hand] if with_hooks else [])]
    times: list[list[float]] = [[] for _ in ways]
    warm_up = min(3, rounds // 3)
    for turn in range(rounds + warm_up):
        for way, taken in zip(ways, times, strict=True):
            started = time.perf_counter()
            way()
            if turn >= warm_up:
                taken.append(1e3 * (time.perf_counter() - started))
    medians = [statistics.median(taken) for taken in times]
    ratios = [statistics.median(mine / base for mine, base in zip(taken, times[0], strict=True)) for taken in times]
    return Result(
        name,
        torch.get_num_threads(),
        plain=medians[0],
        plain_with_weights=medians[1],
        pairs=medians[2],
        by_hand=medians[3] if with_hooks else None,
        ratio=ratios[2],
        ratio_by_hand=ratios[3] if with_hooks else None,
        memory=memory,
        conservation_error=model.conservation_error,
    )


def report(result: Result) -> str:
    """Return the result as lines of text."""
    by_hand = "left out for networks of torchvision: it needs a forward pass for every seed"
    if result.by_hand is not None:
        by_hand = f"{result.by_hand:9.2f} ms   {result.ratio_by_hand:5.2f} x"
    return "\n".join(
        (
            f"16 pair heat-maps, cold · {result.name} · {result.threads} thread(s)",
            f"  plain forward + backward (images)             {result.plain:9.2f} ms",
            f"  plain forward + backward (images and weights) {result.plain_with_weights:9.2f} ms",
            f"  16 pairs with RelevanceModel.pair_maps        {result.pairs:9.2f} ms   {result.ratio:5.2f} x",
            f"  the same with zennit by hand                  {by_hand}",
            f"  memory for them beside the model              {result.memory:9.0f} MiB",
            f"  relevance lost or gained, median over noise   {result.conservation_error:9.1e}",
            f"  target < {TARGET:g} x: {'met' if result.ratio < TARGET else 'MISSED'}",
        )
    )


def main() -> int:
    """Measure and print; exit status 1 if the target is missed."""
    parser = argparse.ArgumentParser(description="What heat-maps cost against the network itself.")
    parser.add_argument("--preset", default="mnist-cnn")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--torchvision", help="a residual network of torchvision instead of a preset")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, help="default: 60, for a network of torchvision 5")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.torchvision:
        made = of_torchvision(options.torchvision, options.size)
    else:
        made = of_preset(options.preset, options.weights)
    rounds = options.rounds or (5 if options.torchvision else 60)
    result = measure(options.torchvision or options.preset, *made, rounds, with_hooks=not options.torchvision)
    print(report(result))
    return 0 if result.ratio < TARGET else 1


if __name__ == "__main__":
    raise SystemExit(main())
