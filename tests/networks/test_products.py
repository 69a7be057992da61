"""Tests of xda.networks.products: inner products on every device equal NumPy's in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from xda.networks import products
from xda.networks.products import DeviceFeatures, _on_device

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(20, 6)).astype(np.float32)
ROWS = np.array([3, 0, 19], dtype=np.int64)
QUERIES = RNG.normal(size=(4, 6)).astype(np.float32)
EXPECTED = FEATURES[ROWS].astype(np.float64) @ QUERIES.astype(np.float64).T


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_products_of_one_or_several_queries_equal_numpy(offset: float) -> None:
    features = DeviceFeatures(FEATURES, torch.device("cpu"), offset)
    np.testing.assert_allclose(features.products(ROWS, QUERIES), EXPECTED + offset, rtol=1e-14)
    np.testing.assert_allclose(features.products(ROWS, QUERIES[1]), EXPECTED[:, 1] + offset, rtol=1e-14)


@pytest.mark.parametrize("copied", [0, 1 << 20], ids=["in the file", "copied"])
@pytest.mark.parametrize("block", [1, 20, 1 << 20])
def test_narrow_products_of_all_support_vectors_equal_numpy(
    monkeypatch: pytest.MonkeyPatch, copied: int, block: int
) -> None:
    monkeypatch.setattr(products, "COPIED_BYTES", copied)
    monkeypatch.setattr(products, "BLOCK_VALUES_OF_MANY", block)
    features = DeviceFeatures(FEATURES, torch.device("cpu"), 1.0, index=ROWS)
    found = features.narrow_products(QUERIES.astype(np.float64))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, EXPECTED, rtol=1e-5, atol=1e-6)


def test_products_of_tensors_equal_numpy() -> None:
    products, narrow = _on_device(FEATURES, torch.device("cpu"))
    np.testing.assert_allclose(narrow(QUERIES), FEATURES @ QUERIES.T, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(products(ROWS, QUERIES.astype(np.float64)), EXPECTED, rtol=1e-14)
    np.testing.assert_allclose(products(ROWS, QUERIES[2].astype(np.float64)), EXPECTED[:, 2], rtol=1e-14)


@pytest.mark.parametrize("copied", [0, 1 << 20], ids=["in the file", "copied"])
@pytest.mark.parametrize("block", [1, 20, 1 << 20])
def test_products_of_a_mapped_file_equal_numpy_copied_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied: int, block: int
) -> None:
    monkeypatch.setattr(products, "COPIED_BYTES", copied)
    monkeypatch.setattr(products, "BLOCK_VALUES", block)
    monkeypatch.setattr(products, "BLOCK_VALUES_OF_MANY", block)
    np.save(tmp_path / "features.npy", FEATURES)
    index = np.array([1, 3, 7, 19])
    features = DeviceFeatures(np.load(tmp_path / "features.npy", mmap_mode="r"), torch.device("cpu"), 1.0, index)
    rows = np.array([3, 0, 1])
    expected = FEATURES[index[rows]].astype(np.float64) @ QUERIES.astype(np.float64).T + 1.0
    np.testing.assert_allclose(features.products(rows, QUERIES), expected, rtol=1e-14)
    np.testing.assert_allclose(features.products(rows, QUERIES[2]), expected[:, 2], rtol=1e-14)
    assert features.products(rows[:0], QUERIES).shape == (0, 4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_products_on_the_gpu_equal_numpy() -> None:
    features = DeviceFeatures(FEATURES, torch.device("cuda"), 1.0)
    np.testing.assert_allclose(features.products(ROWS, QUERIES), EXPECTED + 1.0, rtol=1e-12)
