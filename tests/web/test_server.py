"""Behaviour of a real server: HEAD, cut-off bodies, kept-alive connections, answers while loading."""

from __future__ import annotations

import logging
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.conftest import Served
from tests.explanation.hostile import forge

pytestmark = pytest.mark.slow


@pytest.fixture
def http(served_world: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served_world.url, trust_env=False) as client:
        yield client


def explanation(served: Served) -> str:
    return f"/api/v1/runs/{served.run_id}/test/0/explanation"


def test_head_has_headers_without_body(http: httpx.Client, served_world: Served) -> None:
    for path in ("/", explanation(served_world), f"/r/{served_world.run_id}/test/0", "/healthz", "/nothing"):
        get, head = http.get(path), http.head(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        if get.status_code == 200:
            assert head.headers["content-length"] == get.headers["content-length"]
    assert http.get("/healthz").json() == {"status": "ok"}


def talk(served: Served, sent: bytes) -> bytes:
    """Send raw bytes and return all that comes back."""
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(sent)
        received = b""
        while part := connection.recv(65536):
            received += part
        return received


def test_body_announced_too_large_is_not_read(served_world: Served) -> None:
    size = served_world.settings.max_body_bytes + 1
    head = f"POST /api/v1/links HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n"
    head += "Content-Type: application/json\r\n\r\n"
    answer = talk(served_world, head.encode())
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer


def test_body_streamed_too_large_is_cut_off(served_world: Served) -> None:
    head = b"POST /api/v1/links HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += b"Transfer-Encoding: chunked\r\n\r\n"
    # One byte too many and no end: the server has read all that was sent when it answers, so no reset overtakes it.
    size = served_world.settings.max_body_bytes + 1
    answer = talk(served_world, head + f"{size:x}\r\n".encode() + b" " * size)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert httpx.get(f"{served_world.url}/healthz").status_code == 200


@pytest.mark.parametrize("media_type", ["application/json", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("length", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_client_disconnect_is_no_error(
    served_world: Served, http: httpx.Client, caplog: pytest.LogCaptureFixture, media_type: str, length: str
) -> None:
    def counted(status: str) -> float:
        route = re.escape('method="POST",route="/api/v1/links",')
        found = re.search(rf'{route}status="{status}"}} (.*)', http.get("/metrics").text)
        return float(found[1]) if found else 0.0

    host, port = served_world.url.removeprefix("http://").split(":")
    gone, failed = counted("499"), counted("500")
    head = f"POST /api/v1/links HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media_type}\r\n{length}\r\n\r\n"
    for sent in ("", "5\r\nrun=d\r\n") * 10:
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall((head + sent).encode())
    deadline = time.monotonic() + 10
    while counted("499") < gone + 20 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert counted("499") == gone + 20
    assert counted("500") == failed
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Header\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GARBAGE\r\n\r\n",
    ],
)
def test_malformed_http_is_refused(served_world: Served, http: httpx.Client, sent: bytes) -> None:
    answer = talk(served_world, sent + b"\r\n" * 4)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert http.get("/healthz").status_code == 200


def test_connection_serves_many_requests(served_world: Served) -> None:
    asked = f"GET {explanation(served_world)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    last = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert talk(served_world, asked * 5 + last).count(b"HTTP/1.1 200 OK") == 6


def test_healthz_answers_before_the_runs_are_loaded(run_path: Path, tmp_path: Path) -> None:
    """A real process imports PyTorch in the background; Ctrl-C meanwhile ends it at once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--factory", "xda.web.factory:create_app_from_env", "--port", str(port)]
    environment = {**os.environ, "XDA_HOME": str(tmp_path), "XDA_RUNS": str(run_path), "XDA_DEVICE": "cpu"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        reasons = []
        while time.monotonic() < deadline:
            try:
                health = httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False)
                ready = httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False)
            except httpx.TransportError:
                time.sleep(0.02)
                continue
            assert health.status_code == 200
            reasons.append(ready.json()["detail"])
            break
        assert reasons == ["The runs are being loaded."]
    finally:
        stopped = time.monotonic()
        process.terminate()
        process.wait(30)
    assert time.monotonic() - stopped < 10, (tmp_path / "log").read_text()


@contextmanager
def started(*arguments: object, home: Path) -> Iterator[Iterator[str]]:
    """Run `xda serve` on a free port; yield the lines that it prints, for two minutes at most."""
    command = [sys.executable, "-m", "xda", "serve", *map(str, arguments), "--port", "0", "--home", str(home)]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    patience = threading.Timer(120, process.kill)
    patience.start()
    try:
        yield (line.strip() for line in process.stdout)
    finally:
        patience.cancel()
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.parametrize("workers", [1, 2])
def test_serve_prints_its_address_once_it_answers(run_path: Path, tmp_path: Path, workers: int) -> None:
    with started(run_path, "--device", "cpu", "--workers", workers, home=tmp_path) as told:
        assert next(told) == "DualXDA Explorer: loading 1 run …   (Ctrl-C stops it)"
        address = next(told).removeprefix("DualXDA Explorer: ")
        answers = [httpx.get(f"{address}{path}").status_code for path in ("", "r/digits", "r/digits/test/0") * 5]
    assert answers == [200] * 15
    assert "http://" not in (tmp_path / "log").read_text(), "the address is nowhere else, and no earlier"
    assert "readyz" not in (tmp_path / "log").read_text()


def test_serve_on_all_addresses_without_links_prints_names(
    run_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDA_DATABASE_URL", f"postgresql://xda@/links?host={tmp_path}")
    monkeypatch.setenv("XDA_ALLOWED_HOSTS", "lab.example")
    with started(run_path, "--device", "cpu", "--root-path", "/tools", "--host", "0.0.0.0", home=tmp_path) as told:
        next(told)
        address, _, names = next(told).removeprefix("DualXDA Explorer: ").partition("   ")
        assert names == "(answers to localhost, 127.0.0.1, [::1], lab.example; add names with XDA_ALLOWED_HOSTS)"
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d+/tools/", address)
        assert httpx.get(address).status_code == 200
        assert httpx.get(address, headers={"Host": "lab.example"}).status_code == 200
        assert httpx.get(address, headers={"Host": "0.0.0.0"}).status_code == 400
        assert httpx.get(f"{address}readyz").status_code == 503


@pytest.mark.parametrize("workers", [1, 2])
def test_serve_without_usable_run_exits_2(run_path: Path, tmp_path: Path, workers: int) -> None:
    damaged = forge(run_path, tmp_path / "damaged", lambda document: document["network"]["spec"].update(n_classes=7))
    command = [sys.executable, "-m", "xda", "serve", damaged, "--port", "0", "--home", tmp_path, "--device", "cpu"]
    done = subprocess.run(
        [*map(str, command), "--workers", str(workers)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2, done.stderr
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("xda: ")]
    assert said.startswith("xda: No run can be served. damaged: ")
    assert "the network has 7 classes, but the run names 10" in said
    assert "http://" not in done.stdout
