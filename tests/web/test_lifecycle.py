"""Loading in the background: answers before, after, and if a part cannot be loaded."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.web.conftest import MakeClient
from tests.world import RUN_ID
from xda.errors import BusyError
from xda.explanation.catalog import Catalog
from xda.explanation.device_queue import DeviceQueue
from xda.explanation.run import Explainer
from xda.settings import Settings
from xda.storage.database.links import LinkStore
from xda.web import lifecycle as lifecycle_module
from xda.web.factory import create_app, create_app_from_env
from xda.web.lifecycle import Lifecycle

EXPLANATION = f"/api/v1/runs/{RUN_ID}/test/0/explanation"


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch, explainer: Explainer) -> Iterator[threading.Event]:
    """Opening the runs waits for this event."""
    opened = threading.Event()

    def open_catalog(settings: Settings) -> Catalog:
        assert opened.wait(30)
        return Catalog.open_paths([explainer.run.path], "cpu")

    monkeypatch.setattr(lifecycle_module, "open_catalog", open_catalog)
    yield opened
    opened.set()


def test_requests_before_loading_are_503_and_after_200(gate: threading.Event, tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path))
    with TestClient(app) as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/version").status_code == 200
        assert client.get("/metrics").status_code == 200
        for path in ("/readyz", "/", f"/r/{RUN_ID}", EXPLANATION, "/api/v1/runs"):
            answer = client.get(path)
            assert answer.status_code == 503, path
            assert "being loaded" in answer.json()["detail"]
            assert int(answer.headers["retry-after"]) >= 1
        gate.set()
        assert app.state.lifecycle.wait(30).ready
        for path in ("/readyz", "/", f"/r/{RUN_ID}", EXPLANATION, "/api/v1/runs"):
            assert client.get(path).status_code == 200, path


def test_close_while_loading_releases_catalog(gate: threading.Event, tmp_path: Path) -> None:
    lifecycle = Lifecycle(Settings(home=tmp_path))
    lifecycle.start()
    lifecycle.close()
    gate.set()
    lifecycle.wait(30)
    assert lifecycle.open_catalog is None
    with pytest.raises(BusyError):
        _ = lifecycle.catalog


def test_close_keeps_given_catalog_open(catalog: Catalog, tmp_path: Path) -> None:
    with TestClient(create_app(Settings(home=tmp_path), catalog)) as client:
        client.app.state.lifecycle.wait(30)  # type: ignore[attr-defined]
    assert catalog.get(RUN_ID).explain(0).n_train > 0
    assert catalog.get(RUN_ID).own_relevance(0).result(30)


def test_readyz_names_broken_run_beside_good_one(run_path: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(run_path, broken)
    weights = broken / "network.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    settings = Settings(home=tmp_path, runs=f"{broken}:{run_path}:{tmp_path / 'missing'}", device="cpu")
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        assert client.app.state.lifecycle.wait(60).ready  # type: ignore[attr-defined]
        refused = client.get("/readyz").json()["refused"]
        assert set(refused) == {"broken", "missing"}
        assert [run["id"] for run in client.get("/api/v1/runs").json()] == [RUN_ID]
        assert client.get(EXPLANATION).status_code == 200
        answer = client.get("/api/v1/runs/broken/test/0/explanation")
        assert answer.status_code == 503
        assert "network.safetensors" in answer.json()["detail"]
        assert client.get("/r/broken", headers={"Accept": "text/html"}).status_code == 503


@pytest.mark.parametrize("runs", ["", "{tmp}/missing"])
def test_readyz_without_usable_run_is_503(runs: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, runs=runs.format(tmp=tmp_path), device="cpu")
    with TestClient(create_app(settings)) as client:
        readiness = client.app.state.lifecycle.wait(30)  # type: ignore[attr-defined]
        assert not readiness.ready
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["detail"] == readiness.reason
        assert "No run" in readiness.reason
        assert client.get("/healthz").status_code == 200
        assert client.get("/api/v1/runs").json() == []


def test_readiness_with_failing_run_alone_is_not_ready(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def own_relevance(*_: object, **__: object) -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr(Explainer, "own_relevance", own_relevance)
    with TestClient(create_app(Settings(home=tmp_path), catalog)) as client:
        readiness = client.app.state.lifecycle.wait(30)  # type: ignore[attr-defined]
    assert not readiness.ready
    assert "log" in readiness.reason
    assert "secret" not in readiness.reason


def test_readiness_with_failing_run_serves_the_others(
    explainer: Explainer, retrained: Explainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explain(self: Explainer, *arguments: object, **more: object) -> object:
        if self is retrained:
            raise SystemExit(0)
        return real(self, *arguments, **more)  # type: ignore[call-overload]

    real = Explainer.explain
    monkeypatch.setattr(Explainer, "explain", explain)
    queue = DeviceQueue()
    catalog = Catalog([retrained, explainer], {"other": "It is damaged."}, queue)
    with TestClient(create_app(Settings(home=tmp_path), catalog), raise_server_exceptions=False) as client:
        assert client.app.state.lifecycle.wait(30).ready  # type: ignore[attr-defined]
        refused = client.get("/readyz").json()["refused"]
        assert refused.keys() == {retrained.id, "other"}
        assert "does not answer" in refused[retrained.id]
        assert client.get(EXPLANATION).status_code == 200
        assert client.get(f"/api/v1/runs/{retrained.id}/test/0/explanation").status_code == 503
    queue.close()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError])
def test_readiness_after_the_loader_was_ended_says_so(
    kind: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_catalog(settings: Settings) -> Catalog:
        raise kind

    monkeypatch.setattr(lifecycle_module, "open_catalog", open_catalog)
    said: list[str] = []
    app = create_app(Settings(home=tmp_path))
    app.state.lifecycle.when_nothing_is_served = said.append
    with TestClient(app) as client:
        assert not app.state.lifecycle.wait(30).ready
        assert "cannot be served" in client.get("/readyz").json()["detail"]
    assert said == [app.state.lifecycle.readiness().reason]


def test_link_database_that_starts_later_is_opened(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    def open_links(settings: Settings) -> LinkStore:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise BusyError("The database does not answer.")
        return real(settings)

    real = lifecycle_module.open_links
    monkeypatch.setattr(lifecycle_module, "open_links", open_links)
    monkeypatch.setattr(lifecycle_module, "RETRY_SECONDS", 0.3)
    with TestClient(create_app(Settings(home=tmp_path), catalog)) as client:
        deadline = time.monotonic() + 30
        while "database" not in (answer := client.get("/readyz")).text and time.monotonic() < deadline:
            time.sleep(0.01)
        assert answer.status_code == 503
        assert client.get(EXPLANATION).status_code == 200
        assert client.post("/api/v1/links", json={"run": RUN_ID, "test": 0}).status_code == 503
        assert client.app.state.lifecycle.wait(30).ready  # type: ignore[attr-defined]
        assert client.post("/api/v1/links", json={"run": RUN_ID, "test": 0}).status_code == 201
    assert tries == 3


def test_readyz_follows_link_database(catalog: Catalog, tmp_path: Path) -> None:
    database, aside = tmp_path / "links.sqlite3", tmp_path / "aside"
    with TestClient(create_app(Settings(home=tmp_path), catalog)) as client:
        assert client.app.state.lifecycle.wait(30).ready  # type: ignore[attr-defined]
        shared = client.post("/api/v1/links", json={"run": RUN_ID, "test": 0}).json()["id"]
        database.rename(aside)
        for answer in (
            client.get("/readyz"),
            client.post("/api/v1/links", json={"run": RUN_ID, "test": 0}),
            client.get(f"/s/{shared}"),
        ):
            assert answer.status_code == 503
            assert "Put the file back" in answer.json()["detail"]
        assert "xda_ready 0.0" in client.get("/metrics").text
        assert client.get(f"/r/{RUN_ID}/test/0").status_code == 200
        aside.rename(database)
        assert client.get("/readyz").status_code == 200
        assert client.get(f"/s/{shared}").status_code == 200
        assert "xda_ready 1.0" in client.get("/metrics").text


def test_readyz_does_not_wait_for_silent_database(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, asked = threading.Event(), []

    def ping(store: LinkStore) -> None:
        asked.append(store)
        release.wait(30)

    monkeypatch.setattr(lifecycle_module, "PING_SECONDS", 0.2)
    with TestClient(create_app(Settings(home=tmp_path), catalog)) as client:
        assert client.app.state.lifecycle.wait(30).ready  # type: ignore[attr-defined]
        monkeypatch.setattr(LinkStore, "ping", ping)
        for _ in range(3):
            answer = client.get("/readyz")
            assert answer.status_code == 503
            assert "has not answered" in answer.json()["detail"]
        assert len(asked) == 1, "one thread waits, however often it is asked"
        release.set()
        deadline = time.monotonic() + 10
        while client.get("/readyz").status_code != 200 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert client.get("/readyz").status_code == 200


def test_app_from_environment_reads_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDA_HOME", str(tmp_path))
    monkeypatch.setenv("XDA_MAX_PAGE", "7")
    monkeypatch.setattr("xda.web.http.logging.configure", lambda level: None)
    assert create_app_from_env().state.lifecycle.settings.max_page == 7


def test_heatmap_wait_is_limited(make_client: MakeClient, explainer: Explainer) -> None:
    client = make_client(wait_seconds=0.05)
    started, release = threading.Event(), threading.Event()

    def block() -> None:
        started.set()
        release.wait(30)

    explainer._queue.submit(block)
    try:
        assert started.wait(10)
        answer = client.get(f"/api/v1/runs/{RUN_ID}/pairs/3/{explainer.explain(3).supporting[9].index}/relevance")
        shared = client.post("/api/v1/links", json={"run": RUN_ID, "test": 4, "show": 96})
    finally:
        release.set()
    for refused in (answer, shared):
        assert refused.status_code == 503
        assert refused.json()["type"] == "urn:xda:problem:busy"
        assert int(refused.headers["retry-after"]) >= 1


def test_full_queue_is_refused_at_once(client: TestClient, explainer: Explainer) -> None:
    started, release = threading.Event(), threading.Event()

    def block() -> None:
        started.set()
        release.wait(30)

    explainer._queue.submit(block)
    assert started.wait(30)
    full: BusyError | None = None
    for _ in range(200):
        try:
            explainer._queue.submit(block)
        except BusyError as error:
            full = error
            break
    try:
        assert full is not None
        index = explainer.explain(6).supporting[11].index
        answers = [
            client.get(f"/api/v1/runs/{RUN_ID}/pairs/6/{index}/relevance"),
            client.post("/api/v1/links", json={"run": RUN_ID, "test": 6, "show": 90}),
        ]
        page = client.get(f"/r/{RUN_ID}/test/6")
    finally:
        release.set()
    assert page.status_code == 200
    for answer in answers:
        assert answer.status_code == 503
        assert "waiting" in answer.json()["detail"]
        assert int(answer.headers["retry-after"]) >= 1


def test_sharing_does_not_delay_pages(make_client: MakeClient, explainer: Explainer) -> None:
    """Many shares on a busy device wait for each other and delay nobody else."""
    client = make_client(wait_seconds=3, social_cards=False)
    started, release = threading.Event(), threading.Event()

    def block() -> None:
        started.set()
        release.wait(30)

    def share(test: int) -> None:
        client.post("/api/v1/links", json={"run": RUN_ID, "test": test, "show": 1})

    explainer._queue.submit(block)
    assert started.wait(30)
    sharing = [threading.Thread(target=share, args=(test,)) for test in range(45)]
    try:
        for thread in sharing:
            thread.start()
        asked = time.monotonic()
        assert client.get(f"/api/v1/runs/{RUN_ID}/test?limit=7").status_code == 200
        assert client.get(f"/api/v1/runs/{RUN_ID}/test/0/explanation?target=2").status_code == 200
        assert time.monotonic() - asked < 2.5
    finally:
        release.set()
        for thread in sharing:
            thread.join(60)
