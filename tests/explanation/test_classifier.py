"""A frozen classifier: the network's own features, whatever is done to the network afterwards."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from xda.data.tensors import PreparedSet
from xda.errors import ConfigError, DataError
from xda.explanation.classifier import FrozenClassifier
from xda.progress import silent

N, K, D = 10, 3, 6


def make_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, D), nn.ReLU(), nn.Linear(D, K)
    )


IMAGES = torch.randn(N, 1, 6, 6, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(N) % K
SET = PreparedSet((IMAGES, LABELS))


def test_features_and_logits_equal_the_network() -> None:
    network = make_network().eval()
    features, logits, labels = FrozenClassifier(network, SET).features_of(SET, silent, "Features")
    with torch.inference_mode():
        np.testing.assert_allclose(features, network[:-1](IMAGES), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(logits, network(IMAGES), rtol=1e-5, atol=1e-6)
    assert labels.tolist() == LABELS.tolist()


def test_classifier_copy_and_original_stay_unchanged() -> None:
    network = make_network().train()
    frozen = FrozenClassifier(network, SET)
    before = frozen.features(IMAGES)[1]
    assert all(module.training for module in network.modules())
    assert all(parameter.requires_grad for parameter in network.parameters())
    with torch.no_grad():
        next(reversed(list(network.parameters()))).zero_()
    np.testing.assert_array_equal(frozen.features(IMAGES)[1], before)


def test_head_not_last_is_found() -> None:
    class Reversed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(D, K)
            self.body = nn.Sequential(nn.Flatten(), nn.Linear(36, D), nn.ReLU())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.head(self.body(x))
            return scores

    frozen = FrozenClassifier(Reversed(), SET)
    assert frozen.head == "head"
    assert frozen.features(IMAGES[0])[0].shape == (1, D)
    assert frozen.relevance_model().n_features == D


@pytest.mark.slow
def test_classifier_compiled_equals_the_original() -> None:
    network = make_network().eval()
    compiled = torch.compile(network)
    assert isinstance(compiled, nn.Module)
    frozen = FrozenClassifier(compiled, SET)
    assert frozen.head == FrozenClassifier(network, SET).head
    np.testing.assert_allclose(frozen.features(IMAGES)[1], network(IMAGES).detach(), rtol=1e-5, atol=1e-6)


def test_features_of_half_precision_are_single_precision() -> None:
    frozen = FrozenClassifier(make_network().bfloat16(), SET)
    features, logits = frozen.features(IMAGES)
    assert features.dtype == logits.dtype == np.float32


def test_progress_counts_images() -> None:
    told: list[tuple[str, int, int]] = []
    FrozenClassifier(make_network(), SET).features_of(SET, lambda *told_now: told.append(told_now), "Features")
    assert told[-1] == ("Features", N, N)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (print, "torch.nn.Module"),
        (nn.Flatten(), "no parameters"),
        (nn.Sequential(nn.Flatten(), nn.Linear(36, 1), nn.Tanh()), "does something after it"),
        (nn.Sequential(nn.Flatten(), nn.Linear(35, 3)), "fails on images of the shape"),
        (nn.Sequential(nn.Flatten(), nn.Linear(36, 3), nn.Tanh()), "head|linear"),
    ],
)
def test_classifier_unusable_network_is_refused(network: nn.Module, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        FrozenClassifier(network, SET)


def test_features_of_bad_label_or_value_name_the_image() -> None:
    frozen = FrozenClassifier(make_network(), SET)
    labels = LABELS.clone()
    labels[4] = K
    with pytest.raises(DataError, match=f"Image 4 has the label {K}"):
        frozen.features_of(PreparedSet((IMAGES, labels)), silent, "Features")
    images = IMAGES.clone()
    images[6, 0, 0, 0] = float("nan")
    with pytest.raises(DataError, match="image 6 are not finite"):
        frozen.features_of(PreparedSet((images, LABELS)), silent, "Features")


def test_features_of_loader_that_drops_images_are_refused() -> None:
    def collate(items: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.stack([x for x, _ in items[1:]]), torch.stack([y for _, y in items[1:]])

    loader = DataLoader(TensorDataset(IMAGES, LABELS), batch_size=5, collate_fn=collate)
    with pytest.raises(DataError, match="10 images, but gave 8"):
        FrozenClassifier(make_network(), SET).features_of(PreparedSet(loader), silent, "Features")
