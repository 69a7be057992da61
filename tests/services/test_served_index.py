"""Inner products on every device that is there, against numpy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xda.services.served_index import DeviceFeatures, _on_device

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(20, 6)).astype(np.float32)
ROWS = np.array([3, 0, 19], dtype=np.int64)
QUERIES = RNG.normal(size=(4, 6)).astype(np.float32)
EXPECTED = FEATURES[ROWS].astype(np.float64) @ QUERIES.astype(np.float64).T


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_products_of_one_query_and_of_several(offset: float) -> None:
    features = DeviceFeatures(FEATURES, torch.device("cpu"), offset)
    np.testing.assert_allclose(features.products(ROWS, QUERIES), EXPECTED + offset, rtol=1e-14)
    np.testing.assert_allclose(features.products(ROWS, QUERIES[1]), EXPECTED[:, 1] + offset, rtol=1e-14)


def test_tensors_give_the_same_numbers_as_numpy() -> None:
    products = _on_device(FEATURES, torch.device("cpu"))
    np.testing.assert_allclose(products(ROWS, QUERIES.astype(np.float64)), EXPECTED, rtol=1e-14)
    np.testing.assert_allclose(products(ROWS, QUERIES[2].astype(np.float64)), EXPECTED[:, 2], rtol=1e-14)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_products_on_the_gpu() -> None:
    features = DeviceFeatures(FEATURES, torch.device("cuda"), 1.0)
    np.testing.assert_allclose(features.products(ROWS, QUERIES), EXPECTED + 1.0, rtol=1e-12)
