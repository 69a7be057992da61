"""A block that leaves the global random generators of torch, numpy and Python as they were."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Put the generators back at the end of the block; within, they go on from where they are.

    Whoever seeds a notebook gets the same numbers whether an explanation was asked for in between or not. The
    generators of a CUDA device are left out: networks are made on the CPU.
    """
    state, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - it is the global one that is meant
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(state)
        np.random.set_state(legacy)  # noqa: NPY002
