"""The network of a run is opened, reproduces the stored features, and is refused with other weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.bars import CPU
from xda.errors import NoNetworkError, RunError
from xda.relevance.relevance_model import RelevanceModel
from xda.runs.network import TOLERANCE, features_deviation, open_model, refuse_foreign_weights
from xda.storage.run.folder import RunFolder


@pytest.fixture(scope="module")
def run(run_path: Path) -> RunFolder:
    return RunFolder.open(run_path)


@pytest.fixture
def model(run: RunFolder) -> RelevanceModel:
    return open_model(run, CPU)


def test_network_of_the_run_reproduces_its_features(run: RunFolder, model: RelevanceModel) -> None:
    assert features_deviation(run, model, "train", [0, 599]) < 1e-5
    refuse_foreign_weights(run, model)


def test_other_weights_are_refused(run: RunFolder, model: RelevanceModel) -> None:
    batch = [run.image("test", 0)]
    features, logits = model.features(batch)

    class Other:
        """The same network with features that deviate by a given share."""

        def __init__(self, share: float) -> None:
            self.share = share

        def features(self, images: object) -> tuple[object, object]:
            return features + self.share * abs(features).max(), logits

    refuse_foreign_weights(run, Other(0.5 * TOLERANCE))  # type: ignore[arg-type]
    for share in (2 * TOLERANCE, float("nan")):
        with pytest.raises(RunError, match="not of the same build"):
            refuse_foreign_weights(run, Other(share))  # type: ignore[arg-type]


def test_network_that_gives_other_features_or_fails_is_refused(run: RunFolder) -> None:
    class Failing:
        def features(self, images: object) -> tuple[object, object]:
            raise ZeroDivisionError("its own")

    class Narrow:
        def features(self, images: list[object]) -> tuple[object, object]:
            return torch.zeros(len(images), 3).numpy(), None

    with pytest.raises(NoNetworkError, match="fails on the images"):
        features_deviation(run, Failing(), "test", [0])  # type: ignore[arg-type]
    with pytest.raises(RunError, match="gives 3 features"):
        features_deviation(run, Narrow(), "test", [0])  # type: ignore[arg-type]
