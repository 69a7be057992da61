"""Fixtures that all tests share: the synthetic world, an open explainer over it, and a real server of it."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import uvicorn
from filelock import FileLock

from tests.world import RETRAINED_ID, RUN_ID, World, make_config, make_retrained, make_world, open_world
from xda.build.pipeline import build_run
from xda.explanation.run import Explainer
from xda.settings import Settings

pytest_plugins = ["tests.bars"]

BROWSER = Path(__file__).parent / "browser"
COSTLY = {"retrained", "augmented", "served_world", "postgres", "real_mnist"}
"""Fixtures that train, build or start a server: a test that asks for one is slow."""

# Two threads on two cores that a browser and a server share wait for each other more than they compute.
torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark by folder and fixture; where files are spread over workers, start with those that take longest."""
    for item in items:
        if item.path.is_relative_to(BROWSER):
            item.add_marker("browser")
        if COSTLY.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
    if "PYTEST_XDIST_WORKER" in os.environ:
        lasting = {item.path for item in items if item.get_closest_marker("slow") or item.get_closest_marker("browser")}
        items.sort(key=lambda item: item.path not in lasting)


@pytest.fixture(scope="session", autouse=True)
def _nothing_of_the_developer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run without the developer's settings, proxies and working folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("XDA_") or name.lower().endswith("_proxy"):
                patch.delenv(name)
        # the host name that Starlette's test client sends
        patch.setenv("XDA_ALLOWED_HOSTS", "testserver")
        if path := os.environ.get("PYTHONPATH"):
            # Processes that a test starts must find this code from any folder.
            patch.setenv("PYTHONPATH", os.pathsep.join(os.path.abspath(part) for part in path.split(os.pathsep)))
        folder = tmp_path_factory.mktemp("working")
        patch.chdir(folder)
        yield folder


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(_nothing_of_the_developer: Path) -> Iterator[None]:
    """Fail a test that writes into the working folder."""
    yield
    assert os.listdir(_nothing_of_the_developer) == []


def make_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that one process fills while the others wait; tests must not change it."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        # a worker's folder lies in that of the session
        base = base.parent
    folder, made = base / name, base / f"{name}.made"
    with FileLock(base / f"{name}.lock"):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            made.touch()
    return folder


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The synthetic world; tests must not change its files."""
    return open_world(make_once(tmp_path_factory, "world", make_world))


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
    folder = make_once(tmp_path_factory, "retrained", lambda folder: make_retrained(world, folder))
    with Explainer.open(folder / RETRAINED_ID, device="cpu") as opened:
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
    config = make_config(world.config.network.checkpoint, run_id="augmented", intercept="augment")
    folder = make_once(
        tmp_path_factory,
        "augmented",
        lambda folder: build_run(config, world.dataset, folder / "run", device="cpu"),
    )
    with Explainer.open(folder / "run", device="cpu") as opened:
        yield opened
