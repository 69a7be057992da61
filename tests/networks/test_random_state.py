"""Random numbers after the block are those that would have come without it."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from xda.networks.random_state import kept_random_state


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(()))  # noqa: NPY002 - the global one is meant


def seed() -> None:
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)


def test_random_numbers_after_the_block_are_as_without_it() -> None:
    seed()
    expected = draw()
    seed()
    with kept_random_state():
        assert draw() == expected  # within, the generators go on from where they are
        draw()
        torch.manual_seed(4)
    assert draw() == expected


def test_error_in_the_block_puts_the_generators_back_too() -> None:
    seed()
    expected = draw()
    seed()
    with pytest.raises(ValueError, match="could not convert"), kept_random_state():
        float(f"no number {draw()}")
    assert draw() == expected
