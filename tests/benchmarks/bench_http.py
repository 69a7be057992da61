"""Measures the served explorer: requests per second, page and heat-map times, readiness, memory, size on disk.

    python -m tests.benchmarks.bench_http [RUN]        RUN: a run folder; default runs/mnist-cnn

The explanation's rate is compared with an *empty FastAPI route that returns the same bytes*: both under uvicorn with
one worker, asked over 8 kept-alive connections, alternately in one run; medians. It is measured for one test image over
and over, which the server then has at hand, and for another one each time, which it has to look up.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import orjson
from fastapi import FastAPI
from fastapi.responses import Response

from xda.decision import Decision
from xda.web.urls import Urls

CONNECTIONS = 8
ROUNDS = 7
SECONDS = 1.2
PAGES = 60
HEATMAPS = 16
BARE_BODY = "XDA_BENCH_BODY"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table."""

    what: str
    measured: str
    target: str
    met: bool | None
    """None means no target."""


def create_bare_app() -> FastAPI:
    """Build the application to compare with: one route without parameters that returns given bytes."""
    app = FastAPI()
    body = Path(os.environ[BARE_BODY]).read_bytes()

    @app.get("/same")
    async def same() -> Response:
        return Response(body, media_type="application/json")

    return app


class Connection(asyncio.Protocol):
    """One kept-alive connection that asks again as soon as it is answered."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self._requests = requests
        self._buffer = b""
        self._expected = 0
        self.answered = 0
        self.failed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        """Count whole answers."""
        self._buffer += data
        if not self._expected:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._buffer[:end].lower()
            length = head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0]
            self._expected = end + 4 + int(length)
            self.failed += not head.startswith(b"http/1.1 200")
        if len(self._buffer) >= self._expected:
            self._buffer, self._expected = b"", 0
            self.answered += 1
            self._transport.write(next(self._requests))


async def rate(port: int, paths: Sequence[str], seconds: float) -> float:
    """Requests answered per second over ``CONNECTIONS`` connections.

    Raises
    ------
    RuntimeError
        An answer was not 200.
    """
    loop = asyncio.get_running_loop()
    head = f"HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: application/json\r\n\r\n"
    requests = itertools.cycle([f"GET {path} {head}".encode() for path in paths])
    pairs = [await loop.create_connection(lambda: Connection(requests), "127.0.0.1", port) for _ in range(CONNECTIONS)]
    await asyncio.sleep(0.1)
    before = sum(connection.answered for _, connection in pairs)
    started = time.perf_counter()
    await asyncio.sleep(seconds)
    answered = sum(connection.answered for _, connection in pairs) - before
    elapsed = time.perf_counter() - started
    failed = sum(connection.failed for _, connection in pairs)
    for transport, _ in pairs:
        transport.close()
    if failed:
        raise RuntimeError(f"{failed} answers of {paths[0]} … were not 200")
    return answered / elapsed


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextlib.contextmanager
def served(factory: str, port: int, log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Serve an application factory with uvicorn, one worker."""
    command = [sys.executable, "-m", "uvicorn", "--factory", factory, "--port", str(port), "--no-access-log"]
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=stderr, stderr=stderr)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)


def wait_for(url: str, seconds: float) -> float:
    """Wait for an answer with status 200 and return the time that it took.

    Raises
    ------
    TimeoutError
        It did not come.
    """
    started = time.perf_counter()
    answer = "nothing"
    while time.perf_counter() - started < seconds:
        with contextlib.suppress(httpx.TransportError):
            response = httpx.get(url, trust_env=False)
            if response.status_code == 200:
                return time.perf_counter() - started
            answer = response.text
        time.sleep(0.02)
    raise TimeoutError(f"{url} did not answer 200 within {seconds:g} s: {answer}")


def resident_bytes(pid: int) -> int:
    """Resident memory of a process, from Linux's /proc."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def folder_bytes(folder: Path) -> int:
    """Size of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def milliseconds(client: httpx.Client, urls: list[str]) -> list[float]:
    """Time one request after the other; all must answer 200."""
    times = []
    for url in urls:
        started = time.perf_counter()
        response = client.get(url)
        times.append((time.perf_counter() - started) * 1000)
        if response.status_code != 200:
            raise RuntimeError(f"{url}: {response.status_code} {response.text[:300]}")
    return times


def compare_rates(port: int, bare_port: int, run: dict[str, Any]) -> tuple[float, float, float]:
    """Return the median rates of one explanation, of always different ones and of the empty route, measured in turn."""
    base = f"/api/v1/runs/{run['id']}/test"
    one = [f"{base}/0/explanation?limit=12"]
    # More answers than the server keeps.
    others = [f"{base}/{test}/explanation?limit={limit}" for limit in (12, 11, 10) for test in range(run["n_test"])]
    rates: tuple[list[float], list[float], list[float]] = ([], [], [])
    for _ in range(ROUNDS):
        for measured, where, paths in zip(rates, (port, port, bare_port), (one, others, ["/same"]), strict=True):
            measured.append(asyncio.run(rate(where, paths, SECONDS)))
    return statistics.median(rates[0]), statistics.median(rates[1]), statistics.median(rates[2])


def heatmap_urls(run: dict[str, Any], explanation: dict[str, Any]) -> list[str]:
    """Return the addresses of the heat-maps that the page of an explanation shows."""
    listed = [part["index"] for part in (*explanation["supporting"], *explanation["opposing"])][:HEATMAPS]
    decision = Decision(explanation["test"]["index"], explanation["c"], explanation["target"])
    return [
        Urls().relevance(run["digest"], decision, train, name) for train in listed for name in ("test.png", "train.png")
    ]


def measure(run: Path, home: Path) -> list[Line]:
    """Serve the run and measure everything."""
    port, bare_port = free_port(), free_port()
    base = f"http://127.0.0.1:{port}"
    environment = {"XDA_HOME": str(home), "XDA_RUNS": str(run.resolve()), "XDA_DEVICE": "cpu"}
    with served("xda.web.factory:create_app_from_env", port, home / "server.log", **environment) as process:
        ready = wait_for(f"{base}/readyz", 120)
        with httpx.Client(base_url=base, trust_env=False, timeout=60) as client:
            described = client.get("/api/v1/runs").json()[0]
            path = f"/api/v1/runs/{described['id']}/test/0/explanation?{urlencode({'limit': 12})}"
            body = client.get(path).content
            (home / "body").write_bytes(body)
            bare_factory = "tests.benchmarks.bench_http:create_bare_app"
            with served(bare_factory, bare_port, home / "bare.log", **{BARE_BODY: str(home / "body")}):
                wait_for(f"http://127.0.0.1:{bare_port}/same", 30)
                same, other, bare = compare_rates(port, bare_port, described)
            tests = range(min(PAGES, described["n_test"]))
            pages = [f"/r/{described['id']}/test/{test}" for test in tests]
            milliseconds(client, pages[:5])
            page = statistics.median(milliseconds(client, pages))
            maps = heatmap_urls(described, orjson.loads(body))
            cold = milliseconds(client, maps)
            cached = statistics.median(milliseconds(client, maps * 5))
        resident = resident_bytes(process.pid)
    size = folder_bytes(run)
    return [
        Line("empty FastAPI route, same bytes, requests/s", f"{bare:,.0f}", "", None),
        Line("explanation JSON, one test image, requests/s", f"{same:,.0f}", "", None),
        Line("  of the empty route", f"{same / bare:.2f}", ">= 0.5", same / bare >= 0.5),
        Line("explanation JSON, ever other images, requests/s", f"{other:,.0f}", "", None),
        Line("  of the empty route", f"{other / bare:.2f}", "", None),
        Line("explanation page without heat-maps, median", f"{page:.1f} ms", "< 15 ms", page < 15),
        Line(f"{len(maps)} heat-map files, cold, all together", f"{sum(cold):.0f} ms", "", None),
        Line("heat-map file, cached, median", f"{cached:.1f} ms", "< 5 ms", cached < 5),
        Line("ready after start", f"{ready:.1f} s", "< 8 s", ready < 8),
        Line("resident memory", f"{resident / 2**20:,.0f} MiB", "< 1024 MiB", resident < 2**30),
        Line("run folder", f"{size / 1e6:.0f} MB", "< 150 MB", size < 150e6),
    ]


def main() -> int:
    """Measure the run named on the command line and print the table."""
    run = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/mnist-cnn")
    if not (run / "manifest.json").is_file():
        print(
            f"bench_http: there is no run folder at {run}; make one with `xda demo`, or name another.", file=sys.stderr
        )
        return 2
    with tempfile.TemporaryDirectory() as home:
        lines = measure(run, Path(home))
    for line in lines:
        verdict = "" if line.met is None else "met" if line.met else "MISSED"
        print(f"{line.what:<48} {line.measured:>12}   {line.target:<10} {verdict}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
