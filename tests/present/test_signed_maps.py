"""Signed maps: their bytes, and that nothing but rounding is lost."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from xda.present.signed_maps import pack, unpack


def test_packed_map_follows_the_definition_number_by_number() -> None:
    relevance = np.array([[0.0, -2.0], [1.0, 0.5]], np.float32)
    content = pack(relevance)
    assert content == struct.pack("<ff4h", 2.0, 2.0, 0, -32767, 16384, 8192)


@pytest.mark.parametrize("factor", [1e-12, 1.0, 1e9])
def test_unpacked_map_is_the_packed_one_to_rounding(factor: float) -> None:
    relevance = (np.random.default_rng(0).normal(size=(7, 5)) * factor).astype(np.float32)
    found, scale = unpack(pack(relevance), 5)
    assert found.shape == (7, 5)
    assert scale == np.abs(relevance).max()
    assert np.abs(found - relevance).max() <= scale / 65534 * 1.0001


def test_packed_map_on_a_given_scale_keeps_larger_values() -> None:
    found, scale = unpack(pack(np.array([[3.0, -0.5]], np.float32), 1.0), 2)
    assert scale == 1.0
    np.testing.assert_allclose(found, [[3.0, -0.5]], atol=1e-4)


def test_packed_map_of_zeros_stays_zero() -> None:
    found, scale = unpack(pack(np.zeros((2, 3), np.float32)), 3)
    assert scale == 0.0
    assert not found.any()
