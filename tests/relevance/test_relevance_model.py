"""Tests of xda.relevance.relevance_model: maps equal the dense-matrix twin's and zennit's, and their sums are right."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torchvision import models
from zennit.canonizers import Canonizer
from zennit.composites import EpsilonPlusFlat

from tests.bars import CPU, extract, make_split
from tests.reference import lrp
from xda.data.dataset import ArraySource, ImageDataset, ImageSplit
from xda.data.preprocessing import Preprocessing
from xda.data.tensors import AsGiven
from xda.errors import ConfigError, DataError
from xda.networks.checkpoints import load_weights
from xda.networks.heads import split_head
from xda.networks.presets import get_preset
from xda.networks.spec import NetworkSpec, build_network
from xda.networks.training import train
from xda.progress import silent
from xda.relevance.relevance_model import RelevanceModel

GREY = get_preset("mnist-cnn").preprocessing
COLOUR = get_preset("cifar10-resnet18").preprocessing
SMALL = Preprocessing(mode="L", size=(9, 9), mean=(0.3,), std=(0.4,))

Array = NDArray[np.float64]
UNTRAINED = ("mobilenet_v3_small", "mobilenet_v2", "mnasnet0_5", "efficientnet_b0")
"""Models of depthwise convolutions; their signal fades from layer to layer until their batch norms have statistics."""


def pictures(n: int, preprocessing: Preprocessing, seed: int = 0) -> list[bytes]:
    """Return n images of the preprocessing's own size."""
    size = preprocessing.size if preprocessing.mode == "L" else (*preprocessing.size, 3)
    return list(make_split(n, seed, size=size, n_classes=3).all_encoded())


def by_hand(
    network: nn.Module,
    preprocessing: Preprocessing,
    images: Sequence[bytes],
    relevance: Array,
    canonizers: Sequence[Canonizer] = (),
) -> Array:
    """Compute the maps with zennit's hooks: one forward pass for every seed."""
    phi, head = split_head(copy.deepcopy(network))
    x = torch.from_numpy(preprocessing.array(images)).to(head.weight.dtype).requires_grad_()
    with EpsilonPlusFlat(zero_params="bias", canonizers=list(canonizers)).context(phi) as ruled:
        (pixels,) = torch.autograd.grad(ruled(x), x, torch.from_numpy(relevance).to(x.dtype))
    summed: Array = pixels.sum(dim=1).double().numpy()
    return summed


def assert_same_maps(actual: NDArray[np.floating], expected: NDArray[np.floating], tolerance: float = 2e-6) -> None:
    """Differences must be small against the largest value of each map."""
    scale = np.abs(expected).max(axis=(1, 2))
    assert actual.shape == expected.shape
    assert (scale > 0).all()
    assert (np.abs(actual - expected).max(axis=(1, 2)) / scale).max() < tolerance


def signed_seeds(features: NDArray[np.floating], n: int, seed: int = 0) -> Array:
    """Return stand-ins for alpha phi(x) phi(x_i): signed, zero for features of zero, shape (n, d)."""
    rng = np.random.default_rng(seed)
    seeds: Array = rng.normal(size=(n, 1)) * features * rng.random((n, features.shape[-1]))
    return seeds


@pytest.fixture(scope="module")
def trained(bars: ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> nn.Module:
    """The paper's network, trained on the bars."""
    path = tmp_path_factory.mktemp("trained") / "weights.safetensors"
    train("mnist-cnn", bars, path, device=CPU, progress=silent, epochs=10)
    network = build_network(NetworkSpec("mnist-cnn", 10))
    load_weights(network, path)
    return network


@pytest.fixture(scope="module")
def model(trained: nn.Module) -> RelevanceModel:
    return RelevanceModel(trained, GREY, CPU)


def test_maps_agree_with_the_matrix_twin() -> None:
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.ReLU(),
        nn.Conv2d(2, 3, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(75, 20),
        nn.ReLU(),
        nn.Linear(20, 8),
        nn.ReLU(),
        nn.Linear(8, 3),
    ).double()
    w = [value.detach().numpy() for value in network.parameters()]
    twin = [
        lrp.convolution(w[0], w[1], (9, 9), "flat"),
        lrp.convolution(w[2], w[3], (7, 7), "z-plus"),
        lrp.fully_connected(w[4], w[5]),
        lrp.fully_connected(w[6], w[7]),
    ]
    images = pictures(5, SMALL)
    model = RelevanceModel(network, SMALL, CPU)
    features, _ = model.features(images)
    inputs = SMALL.array(images).astype(np.float64)
    np.testing.assert_allclose(features, [lrp.activations(twin, x)[-1] for x in inputs], rtol=1e-6)
    seeds = signed_seeds(features, 5)
    expected = np.stack([lrp.heat_map(twin, x, seed) for x, seed in zip(inputs, seeds, strict=True)])
    assert_same_maps(model.maps(images, seeds), expected)
    on_one = np.stack([lrp.heat_map(twin, inputs[0], seed) for seed in seeds])
    assert_same_maps(model.shared_maps(images[0], seeds), on_one)


def test_maps_agree_with_zennit_by_hand(trained: nn.Module) -> None:
    # float64, because the epsilon rule divides by outputs near zero and magnifies float32's rounding in either
    network = copy.deepcopy(trained).double()
    model = RelevanceModel(network, GREY, CPU)
    images = pictures(12, GREY)
    seeds = signed_seeds(model.features(images)[0], 12)
    assert_same_maps(model.maps(images, seeds), by_hand(network, GREY, images, seeds))
    assert_same_maps(model.shared_maps(images[3], seeds), by_hand(network, GREY, [images[3]] * 12, seeds))


def test_maps_in_single_precision_are_close_to_zennit_by_hand(trained: nn.Module, model: RelevanceModel) -> None:
    images = pictures(12, GREY)
    seeds = signed_seeds(model.features(images)[0], 12)
    assert_same_maps(model.maps(images, seeds), by_hand(trained, GREY, images, seeds), tolerance=0.02)


def test_maps_of_both_sides_sum_to_the_attribution(model: RelevanceModel, bars: ImageDataset) -> None:
    images = [bars.test.encoded(i) for i in range(17)]
    z, _ = model.features(images)
    rng = np.random.default_rng(0)
    relevance = (rng.choice([-1e-3, 1e-3], (16, 1)) * z[0] * z[1:]).astype(np.float32)
    tau = relevance.sum(axis=1, dtype=np.float64)
    assert (np.abs(tau) > 0).all()
    for maps in model.pair_maps(images[0], images[1:], relevance):
        np.testing.assert_allclose(maps.sum(axis=(1, 2), dtype=np.float64), tau, rtol=1e-3)
    assert model.conservation_error < 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_maps_of_random_networks_and_images_conserve_relevance(seed: int) -> None:
    torch.manual_seed(seed)
    model = RelevanceModel(build_network(NetworkSpec("mnist-cnn", 10)), GREY, CPU)
    images = pictures(20, GREY, seed)
    z, _ = model.features(images)
    relevance = z * np.roll(z, 1, axis=0)
    maps = model.maps(images, relevance)
    errors = np.abs(maps.sum(axis=(1, 2), dtype=np.float64) / relevance.sum(axis=1) - 1)
    assert np.median(errors) < 1e-3
    # before training, many outputs are zero except for their bias; the stabiliser takes their relevance
    assert errors.max() < 0.05


def test_maps_of_all_partners_add_up_to_the_map_of_the_logit(trained: nn.Module) -> None:
    model = RelevanceModel(copy.deepcopy(trained).double(), GREY, CPU)
    image, *partners = pictures(9, GREY)
    query = model.features([image])[0][0].astype(np.float64)
    z = model.features(partners)[0].astype(np.float64)
    alpha = np.random.default_rng(0).normal(size=8)
    maps = model.shared_maps(image, alpha[:, None] * query * z)
    own = model.shared_maps(image, (alpha @ z * query)[None])
    assert_same_maps(maps.sum(axis=0, dtype=np.float64)[None], own, tolerance=1e-5)


def test_maps_by_each_method_are_equal(model: RelevanceModel) -> None:
    images = pictures(6, GREY)
    seeds = signed_seeds(model.features(images)[0], 6)
    alone = np.concatenate([model.maps([image], seed[None]) for image, seed in zip(images, seeds, strict=True)])
    assert_same_maps(model.maps(images, seeds), alone, tolerance=0.01)
    shown = np.array([4, 0, 4, 4, 2, 0])
    assert_same_maps(model.maps(images, seeds, shown), model.maps([images[i] for i in shown], seeds), tolerance=0.01)
    backwards = np.arange(6)[::-1]
    assert_same_maps(model.maps(images[::-1], seeds, backwards), alone, tolerance=0.01)
    on_image, on_partners = model.pair_maps(images[0], images[1:], seeds[1:])
    assert_same_maps(on_image, model.shared_maps(images[0], seeds[1:]), tolerance=0.01)
    assert_same_maps(on_partners, alone[1:], tolerance=0.01)


def test_requests_that_are_split_give_the_same_features_and_maps(
    trained: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = copy.deepcopy(trained).double()
    images = pictures(7, GREY)
    whole = RelevanceModel(network, GREY, CPU)
    monkeypatch.setattr("xda.relevance.relevance_model._BYTES_AT_ONCE", 1)
    split = RelevanceModel(network, GREY, CPU)
    assert split.batch_size == 1
    assert whole.batch_size == 256
    features, logits = whole.features(images)
    seeds = signed_seeds(features, 7)
    for ours, theirs in zip(split.features(images), (features, logits), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert_same_maps(split.maps(images, seeds), whole.maps(images, seeds))
    assert_same_maps(split.shared_maps(images[0], seeds), whole.shared_maps(images[0], seeds))
    for ours, theirs in zip(
        split.pair_maps(images[0], images[1:], seeds[1:]),
        whole.pair_maps(images[0], images[1:], seeds[1:]),
        strict=True,
    ):
        assert_same_maps(ours, theirs)


def test_features_equal_those_of_extract(model: RelevanceModel, trained: nn.Module, bars: ImageDataset) -> None:
    features, logits = model.features(list(bars.test.all_encoded()))
    expected = extract(trained, GREY, bars.test, device=CPU, progress=silent)
    np.testing.assert_allclose(features, expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logits, expected[1], rtol=1e-4, atol=1e-5)


def test_maps_of_zero_relevance_are_zero(model: RelevanceModel) -> None:
    images = pictures(2, GREY)
    assert not model.maps(images, np.zeros((2, 100))).any()
    assert model.shared_maps(images[0], np.zeros((0, 100))).shape == (0, 28, 28)
    assert model.maps([], np.zeros((0, 100))).shape == (0, 28, 28)
    assert [maps.shape for maps in model.pair_maps(images[0], [], np.zeros((0, 100)))] == [(0, 28, 28)] * 2
    assert [array.shape for array in model.features([])] == [(0, 100), (0, 10)]


def test_maps_of_a_blank_image_are_finite(model: RelevanceModel) -> None:
    black = make_split(1, 0).encoded(0)
    z, _ = model.features([black])
    assert np.isfinite(model.maps([black], z * z)).all()


def test_maps_of_unfit_shapes_are_refused(model: RelevanceModel) -> None:
    images = pictures(2, GREY)
    with pytest.raises(ValueError, match=r"shape \(1, 100\), not \(2, 100\)"):
        model.maps(images, np.zeros((1, 100)))
    with pytest.raises(ValueError, match=r"not \(3, 100\)"):
        model.shared_maps(images[0], np.zeros((3, 99)))
    for shown in ([0, 2], [-1, 0]):
        with pytest.raises(ValueError, match="not among the 2"):
            model.maps(images, np.zeros((2, 100)), np.array(shown))


def test_model_leaves_the_given_network_as_it_was(trained: nn.Module) -> None:
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    attributes = {name: set(vars(module)) for name, module in trained.named_modules()}
    images = pictures(2, GREY)
    with RelevanceModel(trained, GREY, CPU) as model:
        model.maps(images, np.ones((2, 100)))
        with pytest.raises(DataError):
            model.maps([b"no image"], np.ones((1, 100)))
        # the model still answers after an error
        assert np.isfinite(model.maps(images, np.ones((2, 100)))).all()
    assert {name: set(vars(module)) for name, module in trained.named_modules()} == attributes
    assert all(value.requires_grad and value.grad is None for value in trained.parameters())
    assert all(torch.equal(before[name], value) for name, value in trained.state_dict().items())
    for module in trained.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_composite_names_rules_and_canonizers(model: RelevanceModel, trained: nn.Module) -> None:
    assert model.composite == "EpsilonPlusFlat(zero_params='bias')"
    with pytest.raises(ConfigError, match="use 'EpsilonPlusFlat'"):
        RelevanceModel(trained, GREY, CPU, composite="Gradient")  # type: ignore[arg-type]


@pytest.mark.slow
def test_maps_of_real_mnist_sum_to_the_attribution(real_mnist: ImageDataset, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    source = real_mnist.train.source
    pixels = source.pixels(np.arange(10_000))
    assert pixels is not None
    some = replace(real_mnist, train=ImageSplit(real_mnist.train.labels[:10_000], "10,000", ArraySource(pixels)))
    assert train("mnist-cnn", some, path, device=CPU, progress=silent, epochs=2).test_accuracy > 0.9
    network = build_network(NetworkSpec("mnist-cnn", 10))
    load_weights(network, path)
    model = RelevanceModel(network, GREY, CPU)
    images = [real_mnist.test.encoded(i) for i in range(1000)]
    z, _ = model.features(images)
    relevance = z * np.roll(z, 1, axis=0)
    maps = model.maps(images, relevance)
    np.testing.assert_allclose(maps.sum(axis=(1, 2), dtype=np.float64), relevance.sum(axis=1), rtol=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
def test_maps_on_the_gpu_equal_those_on_the_cpu(trained: nn.Module) -> None:
    images = pictures(9, GREY)
    on_cpu = RelevanceModel(copy.deepcopy(trained).double(), GREY, CPU)
    on_gpu = RelevanceModel(copy.deepcopy(trained).double(), GREY, torch.device("cuda"))
    seeds = signed_seeds(on_cpu.features(images)[0], 9)
    np.testing.assert_allclose(on_gpu.features(images)[0], on_cpu.features(images)[0], rtol=1e-5)
    assert_same_maps(on_gpu.maps(images, seeds), on_cpu.maps(images, seeds))
    assert_same_maps(on_gpu.shared_maps(images[0], seeds), on_cpu.shared_maps(images[0], seeds))
    for ours, theirs in zip(
        on_gpu.pair_maps(images[0], images[1:], seeds[1:]),
        on_cpu.pair_maps(images[0], images[1:], seeds[1:]),
        strict=True,
    ):
        assert_same_maps(ours, theirs)


@pytest.mark.parametrize("name", UNTRAINED)
def test_network_with_fresh_weights_has_no_heatmaps_and_its_faint_features_are_named(name: str) -> None:
    torch.manual_seed(0)
    with RelevanceModel(models.get_model(name, num_classes=10), AsGiven((3, 64, 64)), CPU) as model:
        assert model.conservation_error > 0.9
        assert re.search(r"Its features are at most \de-\d\d, so small that .* not trained", model.refusal)


@pytest.mark.parametrize("name", UNTRAINED)
def test_network_whose_batch_norms_know_statistics_conserves_relevance(name: str) -> None:
    torch.manual_seed(0)
    network = models.get_model(name, num_classes=10).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            module.reset_running_stats()
    images = torch.randn(16, 3, 64, 64)
    with torch.no_grad():
        network(images)
    with RelevanceModel(network, AsGiven((3, 64, 64)), CPU) as model:
        assert model.refusal == ""
        assert model.conservation_error < 1e-4
        features, _ = model.features(list(images[:3].numpy()))
        maps = model.maps(list(images[:3].numpy()), features**2)
        np.testing.assert_allclose(maps.sum(axis=(1, 2)), (features**2).sum(axis=1), rtol=1e-3)


def test_refusal_without_faint_features_does_not_blame_them() -> None:
    convolution, last = nn.Conv2d(1, 4, 3), nn.Linear(196, 8)
    nn.init.zeros_(last.weight)
    network = nn.Sequential(convolution, nn.ReLU(), nn.Flatten(), last, nn.Linear(8, 3))
    with RelevanceModel(network, AsGiven((1, 9, 9)), CPU) as model:
        assert "is lost or gained" in model.refusal
        assert "stabiliser" not in model.refusal
