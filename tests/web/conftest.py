"""An application over one small real run, with its catalog already open, and clients of it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fastapi import FastAPI

from xda.services.build import build_run
from xda.services.catalog import Catalog
from xda.services.config import BuildConfig, DataTable, NetworkTable, RunTable, SurrogateTable
from xda.services.explorer import Explainer
from xda.settings import Settings
from xda.vision import datasets
from xda.vision.images import ArraySource, ImageDataset, ImageSplit
from xda.vision.networks import NetworkSpec, build_network, save_weights
from xda.web.factory import create_app

with warnings.catch_warnings():
    # Starlette would rather have httpx2 under its test client; httpx is what this project has.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient


def _dataset() -> ImageDataset:
    rng = np.random.default_rng(0)

    def split(n: int) -> ImageSplit:
        labels = rng.integers(0, 4, n)
        array = rng.integers(0, 60, (n, 28, 28)).astype(np.uint8)
        for image, label in zip(array, labels, strict=True):
            image[4 + 5 * label : 9 + 5 * label, 4:24] = 255
        return ImageSplit(labels, f"{n:064x}", ArraySource(array))

    return ImageDataset("tiny", "Tiny", ("a", "b", "c", "d"), split(160), split(40))


@pytest.fixture(scope="session")
def run_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("web-world")
    torch.manual_seed(0)
    save_weights(build_network(NetworkSpec("mnist-cnn", 4)), home / "weights.safetensors")
    config = BuildConfig(
        run=RunTable(id="tiny", title="Tiny run"),
        data=DataTable(name="tiny"),
        network=NetworkTable(preset="mnist-cnn", checkpoint=home / "weights.safetensors"),
        surrogate=SurrogateTable(c=(1e-3, 1e-1)),
    )
    dataset = _dataset()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xda.services.build.load", lambda name, data_dir: dataset)
        build_run(config, home / "tiny", data_dir=home, device="cpu")
    assert datasets.NAMES
    return home / "tiny"


@pytest.fixture(scope="session")
def catalog(run_path: Path) -> Iterator[Catalog]:
    opened = Catalog.open_paths([run_path], "cpu")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def explainer(catalog: Catalog) -> Explainer:
    return catalog.get("tiny")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def app(settings: Settings, catalog: Catalog) -> FastAPI:
    return create_app(settings, catalog)


def ready_client(app: FastAPI, **options: object) -> Iterator[TestClient]:
    """Yield a client of an application that has finished loading."""
    with TestClient(app, **options) as client:  # type: ignore[arg-type]
        assert app.state.lifecycle.wait(30).ready
        yield client


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    yield from ready_client(app, raise_server_exceptions=False)
