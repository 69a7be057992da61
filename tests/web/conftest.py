"""An application over one small real run, with its catalog already open, and clients of it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI

from xda.services.catalog import Catalog
from xda.services.explorer import Explainer
from xda.settings import Settings
from xda.web.factory import create_app

with warnings.catch_warnings():
    # Starlette would rather have httpx2 under its test client; httpx is what this project has.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient


@pytest.fixture(scope="session")
def catalog(run_path: Path) -> Iterator[Catalog]:
    opened = Catalog.open_paths([run_path], "cpu")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def explainer(catalog: Catalog) -> Explainer:
    return catalog.get("digits")


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
