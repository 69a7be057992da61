"""Makes the network that a configuration describes, and refuses a missing checkpoint early."""

from __future__ import annotations

from xda.build.config import BuildConfig
from xda.data.dataset import ImageDataset
from xda.errors import DataError
from xda.networks.loading import LoadedNetwork, load_network
from xda.networks.presets import get_preset


def refuse_missing_checkpoint(config: BuildConfig) -> None:
    """Refuse a configuration whose checkpoint is missing, before the images are checked.

    Raises
    ------
    ConfigError, DataError
        The preset is unknown, or the checkpoint is missing.
    """
    table = config.network
    if table.checkpoint is None or table.checkpoint.is_file():
        return
    if table.preset is not None:
        preset = get_preset(table.preset)
        raise DataError(f"The checkpoint {table.checkpoint} does not exist; make it with `xda train {preset.name}`.")
    other = "is no plain file" if table.checkpoint.exists() else "does not exist"
    kind = "is a folder" if table.checkpoint.is_dir() else other
    raise DataError(f"The checkpoint {table.checkpoint} {kind}; name the file with the network's weights.")


def configured_network(config: BuildConfig, dataset: ImageDataset) -> LoadedNetwork:
    """Make the network that a configuration describes, with one logit for each class of the data set.

    Raises
    ------
    ConfigError, DataError
        The network cannot be made, or its checkpoint is missing or belongs to another network.
    """
    refuse_missing_checkpoint(config)
    table = config.network
    changes = table.preprocessing.model_dump(exclude_none=True, exclude={"crop"})
    return load_network(table.spec(len(dataset.classes)), table.checkpoint, changes)
