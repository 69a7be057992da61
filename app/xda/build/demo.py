"""``xda demo``: builds and verifies an MNIST run from nothing; continues an interrupted start."""

from __future__ import annotations

from pathlib import Path

from xda.build.config import BuildConfig, DataTable, NetworkTable, RunTable
from xda.data.dataset import ImageDataset
from xda.data.known import registry
from xda.errors import RunError
from xda.networks.device import resolve_device
from xda.networks.presets import get_preset
from xda.networks.training import TrainingResult, train
from xda.progress import Progress
from xda.settings import Settings
from xda.storage.run.folder import RunFolder

PRESET = "mnist-cnn"


def checkpoint_path(settings: Settings, preset: str) -> Path:
    """Return the path of a preset network's checkpoint."""
    return settings.home / "checkpoints" / f"{preset}.safetensors"


def train_preset(
    name: str, settings: Settings, checkpoint: Path, progress: Progress
) -> tuple[ImageDataset, TrainingResult]:
    """Fetch the data of a preset and train it; continue an interrupted training."""
    preset = get_preset(name)
    registry.fetch(preset.dataset, settings.data_dir, progress)
    dataset = registry.load(preset.dataset, settings.data_dir)
    result = train(name, dataset, checkpoint, device=resolve_device(settings.device), progress=progress)
    return dataset, result


def demo_run(settings: Settings, progress: Progress) -> tuple[Path, bool]:
    """Build and verify the demonstration run unless a sound one exists.

    Returns
    -------
    path : Path
        Its folder.
    built : bool
        Whether this call built it.

    Raises
    ------
    DataError
        MNIST cannot be fetched.
    RunError
        The finished run fails its verification.
    """
    out = settings.runs_dir / PRESET
    if _is_complete(out):
        return out, False
    # Imported here, since an existing run is served without the solver's libraries.
    from xda.build.pipeline import build_run
    from xda.build.verify import verify_run

    preset = get_preset(PRESET)
    checkpoint = checkpoint_path(settings, PRESET)
    dataset, _ = train_preset(PRESET, settings, checkpoint, progress)
    config = BuildConfig(
        run=RunTable(id=PRESET, title=preset.title),
        data=DataTable(name=preset.dataset),
        network=NetworkTable(preset=PRESET, checkpoint=checkpoint),
    )
    build_run(config, dataset, out, device=settings.device, progress=progress)
    failed = [finding for finding in verify_run(out, device=settings.device, progress=progress) if not finding.passed]
    if failed:
        raise RunError(
            f"{out} does not pass its verification ({failed[0].name}: {failed[0].detail}); "
            "remove the folder and start again."
        )
    return out, True


def _is_complete(path: Path) -> bool:
    """Return whether a finished run exists; a damaged or older one is built again."""
    try:
        RunFolder.open(path, verify=False)
    except RunError:
        return False
    return True
