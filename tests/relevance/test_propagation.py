"""Relevance of many seeds at once equals that of each seed alone, and forward values are the network's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from zennit.composites import EpsilonPlusFlat

from xda.relevance.canonize import canonize
from xda.relevance.propagation import Propagator
from xda.relevance.tracing import trace


class Forked(nn.Module):
    """Two branches whose sum is pooled; one value is made by a function and one by a method."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.left = nn.Conv2d(4, 4, 1)
        self.right = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.conv(x))
        x = self.left(x) + torch.relu(self.right(x))
        return x.mean((2, 3))


IMAGES = torch.randn(3, 3, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture(scope="module")
def network() -> Forked:
    torch.manual_seed(1)
    return Forked().double().eval()


@pytest.fixture(scope="module")
def propagator(network: Forked) -> Propagator:
    return Propagator(canonize(trace(network, IMAGES), EpsilonPlusFlat(zero_params="bias")))


def test_recording_has_the_features_of_the_network(network: Forked, propagator: Propagator) -> None:
    recording = propagator.record(IMAGES)
    with torch.no_grad():
        torch.testing.assert_close(recording.features, network(IMAGES))
    kept = {value.data_ptr(): value for terms in recording.terms.values() for value in terms}
    assert recording.nbytes == sum(value.nbytes for value in kept.values()) > 0


@pytest.mark.parametrize(
    "rows",
    [[0], [2, 1], [0, 1, 2], [1, 2], [1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 2], [2, 0, 2, 2, 0, 2, 1, 2]],
    ids=str,
)
def test_seeds_together_equal_each_alone(propagator: Propagator, rows: list[int]) -> None:
    seeds = torch.randn(len(rows), 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    together = propagator.propagate(propagator.record(IMAGES), seeds, torch.tensor(rows))
    assert together.shape == (len(rows), *IMAGES.shape[1:])
    for seed, row, found in zip(seeds, rows, together, strict=True):
        alone = propagator.propagate(propagator.record(IMAGES[row : row + 1]), seed[None], torch.tensor([0]))
        torch.testing.assert_close(found, alone[0])
        assert found.abs().sum() > 0
