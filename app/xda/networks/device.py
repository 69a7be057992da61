"""Chooses the device that holds the tensors."""

from __future__ import annotations

import torch

from xda.errors import ConfigError
from xda.settings import DeviceChoice


def resolve_device(choice: DeviceChoice) -> torch.device:
    """Return the torch device for a setting.

    Parameters
    ----------
    choice : {"auto", "cpu", "cuda"}
        ``"auto"`` takes the GPU if there is one.

    Returns
    -------
    torch.device

    Raises
    ------
    ConfigError
        ``"cuda"`` was chosen, but torch sees no CUDA device.
    """
    if choice == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if choice == "cuda":
        raise ConfigError("The device 'cuda' was asked for, but torch sees no CUDA device here; use 'cpu' or 'auto'.")
    return torch.device("cpu")
