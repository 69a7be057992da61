"""Opens the network of a run and checks that its weights reproduce the stored features on some images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from xda.data.preprocessing import Preprocessing
from xda.decision import Split
from xda.errors import ConfigError, DataError, NoNetworkError, RunError
from xda.networks.kept_code import MOST_BYTES
from xda.networks.loading import open_network
from xda.networks.spec import NetworkSpec
from xda.relevance.relevance_model import RelevanceModel
from xda.runs.foreign_errors import contained
from xda.storage.run import layout
from xda.storage.run.folder import RunFolder

if TYPE_CHECKING:
    import torch

TOLERANCE = 1e-3
"""Largest deviation of recomputed features, relative to the largest feature (devices round differently)."""

_LONGEST_REASON = 1000


def open_model(run: RunFolder, device: torch.device, allow_factory: Sequence[str] = ()) -> RelevanceModel:
    """Return the network of a run on a device, with the rules for its heat-maps.

    Parameters
    ----------
    run : RunFolder
    device : torch.device
    allow_factory : sequence of str
        Modules, or packages with all of their modules, that a factory of the run may come from.

    Raises
    ------
    RunError
        The manifest contradicts itself; nothing is allocated then.
    NoNetworkError
        The network cannot be made here: its factory is not allowed or fails, its module or a package is missing, or
        the weights do not fit the network.
    """
    spec, preprocessing = _described_network(run)
    with contained(lambda said: _no_network(run, f"Its code raises {said}.")):
        try:
            network = open_network(spec, run.read(layout.NETWORK), layout.NETWORK, allow_factory, _kept_code(run))
            return RelevanceModel(network, preprocessing, device)
        except (ConfigError, DataError) as error:
            raise _no_network(run, str(error)) from error


def _kept_code(run: RunFolder) -> dict[str, bytes]:
    sizes = {name: entry.bytes for name, entry in run.manifest.files.items() if name.startswith(layout.CODE)}
    if sum(sizes.values()) > MOST_BYTES:
        raise RunError(f"{run.path}: the code of its network has more than {MOST_BYTES:,} bytes. Build the run again.")
    return {name.removeprefix(layout.CODE): run.read(name) for name in sizes}


def _described_network(run: RunFolder) -> tuple[NetworkSpec, Preprocessing]:
    """Read the network's specification from the manifest and check it against the rest of the manifest."""
    try:
        spec = NetworkSpec.from_dict(run.manifest.network.spec)
        preprocessing = Preprocessing.from_dict(run.manifest.network.preprocessing)
    except ConfigError as error:
        raise RunError(f"{run.path}: the network of this run cannot be read. {error}") from error
    n_classes = len(run.manifest.classes)
    if spec.n_classes != n_classes:
        raise RunError(
            f"{run.path}: the network has {spec.n_classes:,} classes, but the run names {n_classes:,}: these parts do "
            "not belong together. Build the run again."
        )
    return spec, preprocessing


def _no_network(run: RunFolder, reason: str) -> NoNetworkError:
    return NoNetworkError(str(run.path), reason[:_LONGEST_REASON])


def features_deviation(run: RunFolder, model: RelevanceModel, split: Split, indices: Sequence[int]) -> float:
    """Recompute the features of some images and compare them with the stored ones.

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
        The network gives another number of features.
    NoNetworkError
        The network fails on the images.
    """
    stored = run.array(layout.features(split))[list(indices)]
    with contained(lambda said: _no_network(run, f"It fails on the images of the run ({said}).")):
        computed, _ = model.features([run.image(split, index) for index in indices])
    if stored.shape != computed.shape:
        raise RunError(
            f"{run.path}: the network gives {computed.shape[1]} features, the run holds {stored.shape[1]}; "
            "weights and features are not of the same build. Build the run again."
        )
    return float(np.abs(computed - stored).max() / max(1e-12, np.abs(stored).max()))


def refuse_foreign_weights(run: RunFolder, model: RelevanceModel) -> None:
    """Recompute the features of one test image and refuse the run if they differ from the stored ones.

    Raises
    ------
    RunError
        Weights and features are of different builds.
    """
    deviation = features_deviation(run, model, "test", [0])
    if not deviation <= TOLERANCE:
        raise RunError(
            f"{run.path}: the features of test image 0 that the network computes differ from the stored ones by "
            f"{deviation:.3g} (relative); the weights ({layout.NETWORK}) and the features are not of the same build. "
            "Build the run again."
        )
