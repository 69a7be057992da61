"""Fixtures that all tests share: the synthetic world, an open explainer over it, and a real server of it."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import uvicorn

from tests.world import RUN_ID, World, make_config, make_retrained, make_world
from xda.build.pipeline import build_run
from xda.explanation.run import Explainer
from xda.settings import Settings

pytest_plugins = ["tests.bars"]

# Two threads on two cores that a browser and a server share wait for each other more than they compute.
torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _nothing_of_the_developer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run without the developer's settings, proxies and working folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("XDA_") or name.lower().endswith("_proxy"):
                patch.delenv(name)
        # the name by which Starlette's test client asks
        patch.setenv("XDA_ALLOWED_HOSTS", "testserver")
        if path := os.environ.get("PYTHONPATH"):
            # what a test starts must find this code from any folder
            patch.setenv("PYTHONPATH", os.pathsep.join(os.path.abspath(part) for part in path.split(os.pathsep)))
        folder = tmp_path_factory.mktemp("working")
        patch.chdir(folder)
        yield folder


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(_nothing_of_the_developer: Path) -> Iterator[None]:
    """Fail a test that writes into the working folder, which would be the developer's."""
    yield
    assert os.listdir(_nothing_of_the_developer) == []


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The synthetic world; tests must not change its files."""
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def run_path(world: World) -> Path:
    """The world's run folder; copy it before changing anything."""
    return world.run


@pytest.fixture(scope="session")
def explainer(run_path: Path) -> Iterator[Explainer]:
    with Explainer.open(run_path, device="cpu") as opened:
        yield opened


@pytest.fixture(scope="session")
def retrained(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explainer]:
    """The world's network trained anew: another run over the same data."""
    with Explainer.open(make_retrained(world, tmp_path_factory.mktemp("retrained")), device="cpu") as opened:
        yield opened


@dataclass(frozen=True)
class Served:
    """A server that is running."""

    url: str
    """Without a slash at its end."""
    run_id: str
    settings: Settings


def serve(settings: Settings) -> Iterator[str]:
    """Run the application in a thread on a free loopback port; yield its URL once it is ready."""
    import httpx

    from xda.web.factory import create_app

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(create_app(settings), log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while True:
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                break
        except httpx.TransportError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError("the server of the tests did not become ready")
        time.sleep(0.05)
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        listener.close()


@pytest.fixture(scope="session")
def served_world(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A real server of the synthetic world."""
    settings = Settings(home=tmp_path_factory.mktemp("home"), runs=str(world.run), device="cpu")
    for url in serve(settings):
        yield Served(url=url, run_id=RUN_ID, settings=settings)


@pytest.fixture(scope="session")
def augmented(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explainer]:
    """The world's network with surrogates that have an intercept."""
    path = tmp_path_factory.mktemp("augmented") / "run"
    config = make_config(world.config.network.checkpoint, run_id="augmented", intercept="augment")
    build_run(config, world.dataset, path, device="cpu")
    with Explainer.open(path, device="cpu") as opened:
        yield opened
