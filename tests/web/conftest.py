"""Applications over the synthetic world, their runs open already, and clients of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from xda.explanation.catalog import Catalog
from xda.explanation.device_queue import DeviceQueue
from xda.explanation.run import Explainer
from xda.settings import Settings
from xda.web.factory import create_app

with warnings.catch_warnings():
    # Starlette would rather have httpx2 under its test client; httpx is what this project has.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

MakeClient = Callable[..., TestClient]


@pytest.fixture(scope="session")
def catalog(explainer: Explainer) -> Iterator[Catalog]:
    queue = DeviceQueue()
    yield Catalog([explainer], {}, queue)
    queue.close()


@pytest.fixture(scope="session")
def web_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder whose link database is made once."""
    return tmp_path_factory.mktemp("web")


@pytest.fixture(scope="session")
def make_client(catalog: Catalog, web_home: Path) -> Iterator[MakeClient]:
    """Return a function that serves the world with other settings, or another catalog, until the tests end."""
    with ExitStack() as stack:

        def make(served: Catalog | None = catalog, **settings: Any) -> TestClient:
            app = create_app(Settings(**{"home": web_home, "device": "cpu", **settings}), served)
            client = stack.enter_context(TestClient(app, raise_server_exceptions=False, follow_redirects=False))
            app.state.lifecycle.wait(30)
            return client

        yield make


@pytest.fixture(scope="session")
def client(make_client: MakeClient) -> TestClient:
    """A client of the world with default settings."""
    return make_client()
