"""The network of a configuration, and checkpoints that are missing or no files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.world import World, make_config
from xda.build.config import NetworkTable
from xda.build.configured_network import configured_network, refuse_missing_checkpoint
from xda.errors import DataError
from xda.storage.run import layout


def test_configured_network_has_the_weights_of_its_checkpoint(world: World) -> None:
    one, other = (configured_network(world.config, world.dataset) for _ in range(2))
    assert one.spec.n_classes == 10
    stored = (world.run / layout.NETWORK).read_bytes()
    assert one.weights() == other.weights() == stored


def test_missing_checkpoint_of_preset_says_how_to_train_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist; make it with `xda train mnist-cnn`"):
        refuse_missing_checkpoint(make_config(tmp_path / "none.safetensors"))


def test_checkpoint_that_is_missing_or_no_file_is_refused(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    paths = {tmp_path / "none.pt": "does not exist", tmp_path: "is a folder", Path("/dev/null"): "is no plain file"}
    for path, words in paths.items():
        table = NetworkTable(torchvision="resnet18", checkpoint=path)
        with pytest.raises(DataError, match=words):
            refuse_missing_checkpoint(config.model_copy(update={"network": table}))
    pretrained = NetworkTable(torchvision="resnet18", weights="pretrained")
    refuse_missing_checkpoint(config.model_copy(update={"network": pretrained}))
