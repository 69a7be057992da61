"""Measures build, index and served explorer with a million training images: time, resident memory, disk.

    python -m tests.benchmarks.bench_scale [--quick] [--classes K] [--keep FOLDER]

The images are computed from their numbers (``tests.benchmarks.scale_world``), go through a small network with d = 256
and then through all that ``xda build`` and ``xda serve`` do, each in a process of its own. About 3 GB of disk.

Resident memory is told apart as Linux does: *private* is what the process allocated, *file* are pages of mapped files,
which the system takes back when it needs them and which several processes share. Both count in what ``top`` shows.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tests.benchmarks.bench_http import folder_bytes, free_port, milliseconds, wait_for

ROOT = Path(__file__).parents[2]
N_TRAIN, N_TEST = 1_000_000, 10_000
C_VALUES = (1e-4, 1e-3)
LIMIT = 4 * 2**30
ASKED = 60
RUN_ID = "scale"
API = f"/api/v1/runs/{RUN_ID}"
REQUESTS = {
    "explanation JSON": API + "/test/{test}/explanation?{c}",
    "explanation JSON of any class": API + "/test/{test}/explanation?{c}&target={target}",
    "explanation JSON of a contrast": API + "/test/{test}/explanation?{c}&target={target}&against={against}",
    "explanation page": f"/r/{RUN_ID}/test/{{test}}?{{c}}",
    "explanation page of a contrast": f"/r/{RUN_ID}/test/{{test}}?{{c}}&target={{target}}&against={{against}}",
    "pair page": f"/r/{RUN_ID}/test/{{test}}/train/{{train}}?{{c}}",
    "training image page": f"/r/{RUN_ID}/train/{{train}}?{{c}}",
    "training image JSON": API + "/train/{train}?{c}",
    "gallery page": f"/r/{RUN_ID}?{{c}}&label={{target}}",
    "list of test images, JSON": API + "/test?predicted={target}",
}


def resident(pid: int | str) -> tuple[int, int]:
    """Return private and file-backed resident bytes of a process."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    private, mapped, shared = (int(fields[name].split()[0]) * 1024 for name in ("RssAnon", "RssFile", "RssShmem"))
    return private, mapped + shared


class StageMeter:
    """A progress callback that takes the time and the largest resident memory of every stage."""

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, float]] = {}
        self._stage = "start"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Record the running stage; time after the last stage counts for that stage."""
        self._stage = stage

    def __enter__(self) -> StageMeter:
        """Begin to measure."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop measuring."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        last_wall, last_cpu = time.perf_counter(), time.process_time()
        while not self._ended.wait(0.05):
            wall, cpu = time.perf_counter(), time.process_time()
            private, mapped = resident("self")
            stage = self.stages.setdefault(
                self._stage, {"wall": 0.0, "cpu": 0.0, "private": 0, "file": 0, "together": 0}
            )
            stage["wall"] += wall - last_wall
            stage["cpu"] += cpu - last_cpu
            stage["private"] = max(stage["private"], private)
            stage["file"] = max(stage["file"], mapped)
            stage["together"] = max(stage["together"], private + mapped)
            last_wall, last_cpu = wall, cpu


def build(out: Path, n_train: int, n_test: int, n_classes: int) -> None:
    """Build the run; print the costs of every stage as JSON."""
    from tests.benchmarks.scale_world import make_dataset

    from xda.build.config import BuildConfig
    from xda.build.pipeline import build_run

    config = BuildConfig.model_validate(
        {
            "run": {"id": RUN_ID, "title": "A million images"},
            "data": {"name": "synthetic"},
            "network": {
                "factory": "tests.benchmarks.scale_world:network",
                "preprocessing": {"mode": "L", "size": [16, 16], "mean": [0.5], "std": [0.25]},
            },
            "surrogate": {"c": C_VALUES},
        }
    )
    with StageMeter() as meter:
        run = build_run(config, make_dataset(n_train, n_test, n_classes), out, device="cpu", progress=meter)
    support = {f"{entry.c:g}": entry.n_support for entry in run.manifest.surrogates}
    print(json.dumps({"stages": meter.stages, "support": support}))


def measured_build(out: Path, n_train: int, n_test: int, n_classes: int) -> bool:
    """Build in a process of its own, print a table of its stages, and return whether the index kept to its limit."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_scale", "--build", str(out)]
    command += [str(value) for value in (n_train, n_test, n_classes)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    answer = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    print(f"{'build':<28}{'seconds':>9}{'CPU s':>9}{'private':>11}{'file':>11}{'together':>11}")
    for name, stage in found["stages"].items():
        sizes = "".join(f"{stage[key] / 2**20:>7,.0f} MiB" for key in ("private", "file", "together"))
        print(f"  {name:<26}{stage['wall']:>9.1f}{stage['cpu']:>9.1f}{sizes}")
    print("support vectors: " + ", ".join(f"{n:,} at C = {c}" for c, n in found["support"].items()))
    small = all(stage["together"] < LIMIT for name, stage in found["stages"].items() if name.startswith("Index"))
    print(f"resident memory while the index is built < 4 GiB: {'met' if small else 'MISSED'}")
    return small


@dataclass(frozen=True)
class Asked:
    """Times of one kind of request, in milliseconds."""

    kind: str
    wall: list[float]
    cpu: float
    """Mean computing time of the server, as on an idle machine."""


def computed(pid: int) -> float:
    """Return the milliseconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(client: httpx.Client, pid: int, n_test: int, n_classes: int) -> list[Asked]:
    """Request every kind of page and answer for every C, each time with other images.

    The training images are support vectors, whose pages are the longest.
    """
    rng = random.Random(0)
    found = []
    for c in C_VALUES:
        answers = [client.get(f"{API}/test/{test}/explanation", params={"c": c}).json() for test in range(ASKED)]
        support = [part["index"] for answer in answers for part in answer["supporting"]]
        for kind, pattern in REQUESTS.items():
            urls = []
            for _ in range(ASKED):
                target, against = rng.sample(range(n_classes), 2)
                test, train = rng.randrange(n_test), rng.choice(support)
                urls.append(pattern.format(test=test, train=train, target=target, against=against, c=f"c={c:g}"))
            before = computed(pid)
            wall = milliseconds(client, urls)
            found.append(Asked(f"{kind}, C = {c:g}", wall, (computed(pid) - before) / ASKED))
    return found


def measure(run: Path, home: Path, n_test: int, n_classes: int) -> bool:
    """Serve the run, ask, print a table; return whether memory and explanations are within their limits."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "XDA_HOME": str(home), "PYTHONPATH": path}
    command = [sys.executable, "-m", "xda", "serve", str(run), "--port", str(port), "--device", "cpu"]
    command += ["--allow-factory", "tests.benchmarks.scale_world"]
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            ready = wait_for(f"{base}/readyz", 300)
            before = resident(process.pid)
            with httpx.Client(base_url=base, trust_env=False, timeout=60) as client:
                asked = ask(client, process.pid, n_test, n_classes)
            after = resident(process.pid)
        finally:
            process.terminate()
            process.wait(20)
    print(f"{'asked of xda serve':<52}{'first':>10}{'median':>11}{'slowest':>11}{'CPU':>11}")
    for one in asked:
        figures = (one.wall[0], statistics.median(one.wall), max(one.wall), one.cpu)
        print(f"  {one.kind:<48}" + "".join(f"{figure:>8.1f} ms" for figure in figures))
    print(f"ready after {ready:.1f} s; run folder {folder_bytes(run) / 1e9:.2f} GB")
    for when, (private, mapped) in (("ready", before), ("all asked", after)):
        print(
            f"resident when {when}: {(private + mapped) / 2**20:,.0f} MiB, "
            f"including private {private / 2**20:,.0f} and file {mapped / 2**20:,.0f}"
        )
    slow = [one.kind for one in asked if "explanation" in one.kind and statistics.median(one.wall) >= 30]
    small = sum(after) < LIMIT
    print(f"resident memory < 4 GiB: {'met' if small else 'MISSED'}")
    print(f"median explanation < 30 ms: {'met' if not slow else 'MISSED: ' + '; '.join(slow)}")
    return small and not slow


def main() -> int:
    """Build, serve and measure; 1 if a limit is exceeded."""
    if sys.argv[1:2] == ["--build"]:
        build(Path(sys.argv[2]), *map(int, sys.argv[3:]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20,000 images instead of a million")
    parser.add_argument("--classes", type=int, default=20, metavar="K")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="where the run is built, unless it is there, and stays"
    )
    options = parser.parse_args()
    n_train, n_test = (20_000, 1_000) if options.quick else (N_TRAIN, N_TEST)
    with tempfile.TemporaryDirectory() as home:
        run = (options.keep or Path(home)) / "run"
        built = (run / "manifest.json").is_file() or measured_build(run, n_train, n_test, options.classes)
        return 0 if measure(run, Path(home), n_test, options.classes) and built else 1


if __name__ == "__main__":
    sys.exit(main())
