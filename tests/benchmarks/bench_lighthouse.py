"""Lighthouse's scores of gallery, explanation and pair, on its phone and its desktop; `make lighthouse` calls it.

    python -m tests.benchmarks.bench_lighthouse [RUN]        RUN: a run folder; default runs/mnist-cnn

It serves the run, lets ``tests/lighthouse/measure.mjs`` open each page in a headless Chromium with an empty cache, and
ends with status 1 if a score misses its target.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tests.benchmarks.bench_http import free_port, served, wait_for

SCRIPT = Path(__file__).parents[1] / "lighthouse" / "measure.mjs"
TARGETS = {"performance": 95, "accessibility": 100, "best-practices": 95, "seo": 95}
"""The lowest score of each category that is good enough, of 100."""
TEST = 115
"""The test image whose explanation and strongest pair are measured."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Lighthouse's findings on one page and device."""

    page: str
    device: str
    scores: dict[str, int]
    figures: dict[str, str]
    costs: list[str]

    @property
    def missed(self) -> list[str]:
        """Return the categories below their target."""
        return [name for name, target in TARGETS.items() if self.scores[name] < target]


def pages_of(client: httpx.Client) -> list[str]:
    """Return the addresses of gallery, explanation and pair of the only run."""
    (run,) = client.get("/api/v1/runs").json()
    told: dict[str, Any] = client.get(f"/api/v1/runs/{run['id']}/test/{TEST}/explanation").json()
    gallery = f"/r/{run['id']}"
    return [gallery, f"{gallery}/test/{TEST}", f"{gallery}/test/{TEST}/train/{told['supporting'][0]['index']}"]


def measured(base: str, pages: list[str]) -> Iterator[Scores]:
    """Yield the scores of each page and device, as they come."""
    environment = {"CHROMIUM": "/usr/bin/chromium", **os.environ}
    command = ["node", str(SCRIPT), base, *pages]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield Scores(**json.loads(line))
    if process.returncode:
        raise RuntimeError(f"measure.mjs ended with status {process.returncode}")


@contextmanager
def serving(run: Path) -> Iterator[str]:
    """Serve a run from an empty home folder; give the server's address."""
    with tempfile.TemporaryDirectory() as home:
        port = free_port()
        environment = {"XDA_HOME": home, "XDA_RUNS": str(run.resolve()), "XDA_DEVICE": "cpu"}
        with served("xda.web.factory:create_app_from_env", port, Path(home) / "server.log", **environment):
            base = f"http://127.0.0.1:{port}"
            wait_for(f"{base}/readyz", 120)
            yield base


def main() -> int:
    """Measure the run named on the command line and print the table."""
    run = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/mnist-cnn")
    if not (run / "manifest.json").is_file():
        print(f"bench_lighthouse: there is no run folder at {run}; make one with `xda demo`.", file=sys.stderr)
        return 2
    missed = False
    with serving(run) as base:
        with httpx.Client(base_url=base, trust_env=False) as client:
            pages = pages_of(client)
        for found in measured(base, pages):
            missed |= bool(found.missed)
            scores = "  ".join(f"{name} {score}" for name, score in found.scores.items())
            print(f"{found.page:<36} {found.device:<8} {scores}  {'MISSED' if found.missed else 'met'}")
            print("    " + " · ".join(f"{name} {value}" for name, value in found.figures.items()), flush=True)
            for cost in found.costs:
                print(f"    costs points: {cost}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
