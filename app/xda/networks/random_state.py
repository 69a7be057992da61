"""Protects the global random generators of torch, numpy and Python within a block."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Restore the generators at the end of the block; within it they continue from their state.

    A seeded notebook gets the same numbers with or without an explanation in between. The generators of a CUDA device
    are left out: networks are made on the CPU.
    """
    state, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global generator is meant
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(state)
        np.random.set_state(legacy)  # noqa: NPY002
