"""``xda demo``: builds and verifies a run from nothing; continues an interrupted start."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xda.build.config import BuildConfig, DataTable, NetworkTable, RunTable
from xda.data.dataset import ImageDataset
from xda.data.known import registry
from xda.decision import Split
from xda.errors import ConfigError, RunError
from xda.networks.checkpoints import save_weights
from xda.networks.device import resolve_device
from xda.networks.presets import MODEL, get_preset
from xda.networks.training import TrainingResult, train
from xda.networks.transfer import transfer
from xda.networks.zoo import require_model
from xda.progress import Progress
from xda.settings import Settings
from xda.storage.run.folder import RunFolder

PRESETS = {"mnist": "mnist-cnn", "clothing": "clothing-efficientnet-lite0"}
"""The network of each demonstration."""


def checkpoint_path(settings: Settings, preset: str) -> Path:
    """Return the path of a preset network's checkpoint."""
    return settings.home / "checkpoints" / f"{preset}.safetensors"


def fetch_and_load(preset: str, settings: Settings, progress: Progress) -> ImageDataset:
    """Fetch the data of a preset, unless that was done before, and load them."""
    known = get_preset(preset)
    if known.starts_from_imagenet:
        # now, not after a download
        require_model("timm", MODEL)
    name = known.dataset
    registry.fetch(name, settings.data_dir, progress)
    return registry.load(name, settings.data_dir, progress=progress)


def train_preset(
    name: str, settings: Settings, checkpoint: Path, progress: Progress
) -> tuple[ImageDataset, TrainingResult]:
    """Fetch the data of a preset and train it; continue an interrupted training."""
    dataset = fetch_and_load(name, settings, progress)
    device = resolve_device(settings.device)
    return dataset, train(name, dataset, checkpoint, device=device, progress=progress, kept=_kept(settings))


def demo_run(settings: Settings, progress: Progress, name: str = "mnist") -> tuple[Path, bool]:
    """Build and verify a demonstration run unless a sound one exists.

    Parameters
    ----------
    settings : Settings
    progress : Progress
    name : {"mnist", "clothing"}

    Returns
    -------
    path : Path
        Its folder.
    built : bool
        Whether this call built it.

    Raises
    ------
    ConfigError
        There is no demonstration of that name.
    DataError
        The images, or the weights that the network starts from, cannot be fetched.
    RunError
        The finished run fails its verification.
    """
    if name not in PRESETS:
        raise ConfigError(f"There is no demonstration '{name}'; known are: {', '.join(PRESETS)}.")
    preset = get_preset(PRESETS[name])
    out = settings.runs_dir / preset.name
    if _is_complete(out):
        return out, False
    # Imported here, since an existing run is served without the solver's libraries.
    from xda.build.pipeline import build_run
    from xda.build.verify import verify_run

    features: Mapping[Split, NDArray[np.float32]] = {}
    if preset.starts_from_imagenet:
        title = f"{preset.title} with a fitted head"
        checkpoint = checkpoint_path(settings, f"{preset.name}-fitted-head")
        dataset = fetch_and_load(preset.name, settings, progress)
        device = resolve_device(settings.device)
        fitted = transfer(preset, dataset, _kept(settings), device=device, progress=progress)
        save_weights(fitted.network, checkpoint)
        features = {"train": fitted.train_features}
    else:
        title = preset.title
        checkpoint = checkpoint_path(settings, preset.name)
        dataset, _ = train_preset(preset.name, settings, checkpoint, progress)
    config = BuildConfig(
        run=RunTable(id=preset.name, title=title),
        data=DataTable(name=preset.dataset),
        network=NetworkTable(preset=preset.name, checkpoint=checkpoint),
    )
    build_run(config, dataset, out, device=settings.device, progress=progress, features=features)
    failed = [finding for finding in verify_run(out, device=settings.device, progress=progress) if not finding.passed]
    if failed:
        raise RunError(
            f"{out} does not pass its verification ({failed[0].name}: {failed[0].detail}); "
            "remove the folder and start again."
        )
    return out, True


def _kept(settings: Settings) -> Path:
    return settings.cache_dir / "features"


def _is_complete(path: Path) -> bool:
    """Return whether a finished run exists; a damaged or older one is built again."""
    try:
        RunFolder.open(path, verify=False)
    except RunError:
        return False
    return True
