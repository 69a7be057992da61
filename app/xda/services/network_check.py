"""Whether the weights of a run produce its features: the same computation, done again on some images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from xda.errors import ConfigError, RunError
from xda.services import layout
from xda.services.views import Split
from xda.storage.run_folder import RunFolder
from xda.vision.loading import open_network
from xda.vision.networks import NetworkSpec
from xda.vision.preprocessing import Preprocessing
from xda.vision.relevance import RelevanceModel

if TYPE_CHECKING:
    import torch

TOLERANCE = 1e-3
"""Largest deviation of recomputed features, relative to the largest feature (devices round differently)."""


def open_model(run: RunFolder, device: torch.device) -> RelevanceModel:
    """Return the network of a run on a device, with the rules for its heat-maps.

    Raises
    ------
    RunError
        If the network cannot be made here: a package or the module of a factory is missing.
    """
    try:
        spec = NetworkSpec.from_dict(run.manifest.network.spec)
        network = open_network(spec, run.read(layout.NETWORK), str(run.path / layout.NETWORK))
    except ConfigError as error:
        raise RunError(f"{run.path}: the network of this run cannot be made here. {error}") from error
    return RelevanceModel(network, Preprocessing.from_dict(run.manifest.network.preprocessing), device)


def features_deviation(run: RunFolder, model: RelevanceModel, split: Split, indices: Sequence[int]) -> float:
    """Compute the features of some images again and compare them with the stored ones.

    Parameters
    ----------
    run : RunFolder
    model : RelevanceModel
        Made from the run's own weights.
    split : {"train", "test"}
    indices : sequence of int

    Returns
    -------
    float
        Largest deviation, relative to the largest stored feature.

    Raises
    ------
    RunError
        If the network gives another number of features.
    """
    stored = run.array(layout.features(split))[list(indices)]
    computed, _ = model.features([run.image(split, index) for index in indices])
    if stored.shape != computed.shape:
        raise RunError(
            f"{run.path}: the network gives {computed.shape[1]} features, the run holds {stored.shape[1]}; "
            "weights and features are not of the same build. Build the run again."
        )
    return float(np.abs(computed - stored).max() / max(1e-12, np.abs(stored).max()))


def refuse_foreign_weights(run: RunFolder, model: RelevanceModel) -> None:
    """Let the network answer once and refuse the run if the answer is not the stored one.

    Raises
    ------
    RunError
        If weights and features do not belong together.
    """
    deviation = features_deviation(run, model, "test", [0])
    if not deviation <= TOLERANCE:
        raise RunError(
            f"{run.path}: the features of test image 0 that the network computes differ from the stored ones by "
            f"{deviation:.3g} (relative); the weights ({layout.NETWORK}) and the features are not of the same build. "
            "Build the run again."
        )
