"""The deletion test on linear toys, where the right order of pixels is known."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from xda.data.tensors import AsGiven
from xda.evaluate import deletion
from xda.relevance.relevance_model import RelevanceModel

SIZE = (2, 3)
CELLS = deletion.cell_numbers(SIZE, 1)
SIXTHS = tuple(k / 6 for k in range(7))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def toy(rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32], nn.Module, NDArray[np.float32]]:
    """Return an image, its replacement, a linear phi (6 pixels of 2 channels to 4 features) and weights on them."""
    image, replacement = rng.normal(size=(2, 2, *SIZE)).astype(np.float32)
    linear = nn.Linear(12, 4, bias=False)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(rng.normal(size=(4, 12))))
    return image, replacement, nn.Sequential(nn.Flatten(), linear).eval(), rng.normal(size=4).astype(np.float32)


def features(phi: nn.Module) -> deletion.Features:
    def compute(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            return np.asarray(phi(torch.from_numpy(images)).numpy())

    return compute


def drop(
    image: NDArray[np.float32], replacement: NDArray[np.float32], phi: nn.Module, weights: NDArray[np.float32]
) -> NDArray[np.floating]:
    """Return by how much the value falls when one pixel is replaced, for each pixel of a linear phi."""
    parts = np.repeat(image[None], 6, axis=0)
    for k, part in enumerate(parts):
        part[:, k // 3, k % 3] = replacement[:, k // 3, k % 3]
    run = features(phi)
    return ((run(image[None]) - run(parts)) @ weights).reshape(SIZE)


def test_order_by_true_contribution_has_the_smallest_area_of_all_orders(rng: np.random.Generator) -> None:
    for _ in range(5):
        image, replacement, phi, weights = toy(rng)
        value = float(features(phi)(image[None])[0] @ weights)
        every = [np.array(order) for order in permutations(range(6))]
        areas = deletion.area(deletion.curves(features(phi), image, replacement, weights, every, CELLS, SIXTHS), SIXTHS)
        # relative to a negative value, removing the most negative pixels first lowers the curve
        true = deletion.order_of(np.sign(value) * drop(image, replacement, phi, weights).ravel(), rng)
        best = deletion.area(deletion.curves(features(phi), image, replacement, weights, [true], CELLS, SIXTHS), SIXTHS)
        assert best[0] == pytest.approx(areas.min(), abs=1e-6)
        assert areas.max() - areas.min() > 0.1


def test_curves_start_at_one_and_end_at_the_replacement(rng: np.random.Generator) -> None:
    image, replacement, phi, weights = toy(rng)
    orders = [rng.permutation(6), np.arange(6)]
    values = deletion.curves(features(phi), image, replacement, weights, orders, CELLS, SIXTHS)
    whole, empty = features(phi)(np.stack([image, replacement])) @ weights
    assert values.shape == (2, 7)
    assert values[:, 0] == pytest.approx(1)
    assert values[:, -1] == pytest.approx(empty / whole, rel=1e-5)
    first = image.copy()
    first[:, 0, 0] = replacement[:, 0, 0]
    assert values[1, 1] == pytest.approx(float(features(phi)(first[None])[0] @ weights / whole), rel=1e-5)


def test_gradient_times_input_is_the_contribution_on_a_linear_network(rng: np.random.Generator) -> None:
    image, _, phi, weights = toy(rng)
    found = deletion.gradient_times_input(phi, image[None], weights[None])[0]
    assert found == pytest.approx(drop(image, np.zeros_like(image), phi, weights), rel=1e-4, abs=1e-5)


def test_gradient_times_input_keeps_images_of_a_batch_apart(rng: np.random.Generator) -> None:
    image, other, phi, weights = toy(rng)
    both = deletion.gradient_times_input(phi, np.stack([image, other]), np.stack([weights, -2 * weights]))
    assert both[0] == pytest.approx(deletion.gradient_times_input(phi, image[None], weights[None])[0], rel=1e-5)
    assert both[1] == pytest.approx(-2 * deletion.gradient_times_input(phi, other[None], weights[None])[0], rel=1e-5)


def test_relevance_map_finds_the_only_pixels_that_count(rng: np.random.Generator) -> None:
    """A convolution sees the whole image, but only one corner of its output reaches the feature."""
    conv = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    read = nn.Linear(64, 1, bias=False)
    with torch.no_grad():
        conv.weight.fill_(1)
        read.weight.zero_()
        read.weight.view(8, 8)[1, 1] = 1
    head = nn.Linear(1, 2)
    network = nn.Sequential(conv, nn.Flatten(), read, head).eval()
    image = rng.uniform(1, 2, size=(1, 8, 8)).astype(np.float32)
    model = RelevanceModel(network, AsGiven((1, 8, 8)), torch.device("cpu"))
    value, _ = model.features([image])
    cells = deletion.cell_numbers((8, 8), 1)
    found = deletion.order_of(np.abs(deletion.cell_sums(model.maps([image], value)[0], cells)), rng)
    assert sorted(found[:9].tolist()) == sorted(8 * row + column for row in range(3) for column in range(3))
    phi = nn.Sequential(conv, nn.Flatten(), read)
    one = np.ones(1)
    orders = [found, found[::-1]]
    best, worst = deletion.area(deletion.curves(features(phi), image, np.zeros_like(image), one, orders, cells))
    assert best < 0.15
    assert worst > 0.85


def test_cell_numbers_where_cells_do_not_divide_the_image() -> None:
    assert deletion.cell_numbers((3, 5), 2).tolist() == [[0, 0, 1, 1, 2], [0, 0, 1, 1, 2], [3, 3, 4, 4, 5]]


def test_cell_sums_add_the_pixels_of_a_cell() -> None:
    values = np.array([[1.0, 1.0, 3.0, -4.0], [1.0, 1.0, 0.0, 0.0]])
    assert deletion.cell_sums(values, deletion.cell_numbers((2, 4), 2)).tolist() == [4, -1]


def test_order_of_equal_scores_is_random(rng: np.random.Generator) -> None:
    orders = [deletion.order_of(np.array([0.0, 5.0, 0.0]), rng).tolist() for _ in range(50)]
    assert {tuple(order) for order in orders} == {(1, 0, 2), (1, 2, 0)}


def test_deleted_replaces_whole_cells_in_every_channel(rng: np.random.Generator) -> None:
    image, replacement = np.zeros((3, 4, 4), dtype=np.float32), np.ones((3, 4, 4), dtype=np.float32)
    cells = deletion.cell_numbers((4, 4), 2)
    parts = deletion.deleted(image, replacement, np.array([3, 0, 1, 2]), cells, (0, 0.25, 0.5, 1))
    assert parts.dtype == np.float32
    assert parts.sum(axis=(1, 2, 3)).tolist() == [0, 12, 24, 48]
    assert parts[1, :, 2:, 2:].min() == 1
    assert parts[2, :, :2, :2].min() == 1


def test_replacements_keep_the_mean_colour(rng: np.random.Generator) -> None:
    image = rng.uniform(size=(3, 20, 20)).astype(np.float32)
    plain, soft = deletion.mean_colour(image), deletion.blurred(image)
    assert plain.std(axis=(1, 2)) == pytest.approx(0, abs=1e-6)
    assert plain[:, 0, 0] == pytest.approx(image.mean(axis=(1, 2)), rel=1e-5)
    assert soft.shape == image.shape
    assert soft.dtype == np.float32
    assert 0 < soft.std() < image.std() / 3
    assert soft.mean(axis=(1, 2)) == pytest.approx(image.mean(axis=(1, 2)), rel=0.1)


def test_area_of_a_straight_fall_is_half() -> None:
    falling = 1 - np.array(deletion.FRACTIONS)
    assert deletion.area(np.stack([falling, np.ones_like(falling)])) == pytest.approx([0.5, 1])
