"""Tests of xda.networks.training."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from tests.bars import CPU, make_split
from xda.data.dataset import ImageDataset
from xda.errors import ConfigError
from xda.networks.checkpoints import load_weights, read_metadata
from xda.networks.presets import get_preset
from xda.networks.spec import NetworkSpec, build_network
from xda.networks.training import _augment, train
from xda.progress import silent

DRIVER = """
    import os, signal, sys
    from pathlib import Path
    import torch
    from tests.bars import make_split
    from xda.data.dataset import ImageDataset
    from xda.networks.training import train

    moment, checkpoints = int(sys.argv[1]), sys.argv[2:]

    def progress(stage, done, total):
        if stage == "Training" and done == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_threads(1)
    bars = ImageDataset("bars", "Bars", tuple("0123456789"), make_split(400, 1), make_split(100, 2))
    for path in checkpoints:
        train("mnist-cnn", bars, Path(path), device=torch.device("cpu"), progress=progress, epochs=4)
"""


def run_driver(moment: int, *checkpoints: Path) -> int:
    """Train in a process of its own that is killed at a batch (-1: never); return its exit status."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DRIVER), str(moment), *map(str, checkpoints)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
        timeout=120,
        check=False,
    ).returncode


@pytest.mark.slow
def test_train_writes_weights_of_the_reported_accuracy(bars: ImageDataset, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    told: list[tuple[str, int, int]] = []
    result = train("mnist-cnn", bars, path, device=CPU, progress=lambda *args: told.append(args), epochs=10)
    assert result.test_accuracy > 0.9
    assert result.epochs == 10
    assert result.seconds > 0
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    network = build_network(NetworkSpec("mnist-cnn", 10)).eval()
    load_weights(network, path)
    images = torch.from_numpy(get_preset("mnist-cnn").preprocessing.array(list(bars.test.all_encoded())))
    with torch.inference_mode():
        accuracy = float((network(images).argmax(1).numpy() == bars.test.labels).mean())
    assert accuracy == pytest.approx(result.test_accuracy)
    assert [done for stage, done, _ in told if stage == "Training"] == list(range(1, 41))
    assert {total for stage, _, total in told if stage == "Training"} == {40}


@pytest.mark.slow
def test_train_killed_at_any_moment_ends_in_the_same_weights(tmp_path: Path) -> None:
    broken, straight = tmp_path / "broken.safetensors", tmp_path / "straight.safetensors"
    unfinished = tmp_path / "broken.safetensors.unfinished"
    # four batches an epoch: in the second epoch, then in the third
    for moment, epochs_kept in ((7, 1), (10, 2)):
        assert run_driver(moment, broken) == -signal.SIGKILL
        assert not broken.exists()
        assert read_metadata(unfinished)["epoch"] == str(epochs_kept)
    # the state is not a pickle
    assert {name.split(".")[0] for name in safetensors.torch.load_file(unfinished)} == {"network", "optimizer"}
    assert run_driver(-1, broken, straight) == 0
    assert broken.read_bytes() == straight.read_bytes()
    assert not unfinished.exists()


def test_train_after_a_finished_training_does_not_repeat_it(bars: ImageDataset, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    first = train("mnist-cnn", bars, path, device=CPU, progress=silent, epochs=1)
    written = path.stat().st_mtime_ns
    again = train("mnist-cnn", bars, path, device=CPU, progress=silent, epochs=1)
    assert again == replace(first, seconds=0.0)
    assert path.stat().st_mtime_ns == written


@pytest.mark.slow
def test_train_with_other_data_seed_or_epochs_trains_anew(bars: ImageDataset, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    seen = set()
    for dataset, seed, epochs in (
        (bars, 0, 1),
        (bars, 1, 1),
        (bars, 1, 2),
        (replace(bars, train=make_split(400, 9)), 1, 2),
    ):
        train("mnist-cnn", dataset, path, device=CPU, progress=silent, seed=seed, epochs=epochs)
        seen.add(path.read_bytes())
    assert len(seen) == 4


@pytest.mark.parametrize("content", [b"", b"half a file" * 20])
def test_train_with_a_damaged_state_starts_anew(bars: ImageDataset, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.safetensors"
    (tmp_path / "weights.safetensors.unfinished").write_bytes(content)
    path.write_bytes(content)
    assert train("mnist-cnn", bars, path, device=CPU, progress=silent, epochs=1).epochs == 1


def test_train_leaves_the_global_generator_alone(bars: ImageDataset, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train("mnist-cnn", bars, tmp_path / "weights", device=CPU, progress=silent, epochs=1)
    assert torch.equal(torch.rand(3), expected)


def test_train_without_images_or_epochs_is_refused(bars: ImageDataset, tmp_path: Path) -> None:
    empty = replace(bars, train=make_split(0, 0))
    for dataset, epochs in ((empty, 1), (bars, 0)):
        with pytest.raises(ConfigError, match="at least one"):
            train("mnist-cnn", dataset, tmp_path / "weights", device=CPU, progress=silent, epochs=epochs)
    assert not list(tmp_path.iterdir())


def test_augmentation_shifts_and_mirrors_whole_images() -> None:
    preset = get_preset("cifar10-resnet18")
    black = -torch.tensor(preset.preprocessing.mean) / torch.tensor(preset.preprocessing.std)
    images = torch.arange(1.0, 1 + 3 * 32 * 32).reshape(1, 3, 32, 32).repeat(40, 1, 1, 1)
    augmented = _augment(images, preset.recipe, preset.preprocessing, torch.Generator().manual_seed(0)).numpy()
    padded = np.empty((3, 40, 40), dtype=np.float32)
    padded[:] = black.numpy()[:, None, None]
    padded[:, 4:36, 4:36] = images[0].numpy()
    possible = {
        (padded[:, y : y + 32, x : x + 32] if not mirrored else padded[:, y : y + 32, x : x + 32][:, :, ::-1]).tobytes()
        for y in range(9)
        for x in range(9)
        for mirrored in (False, True)
    }
    assert {image.tobytes() for image in augmented} <= possible
    assert len({image.tobytes() for image in augmented}) > 20
