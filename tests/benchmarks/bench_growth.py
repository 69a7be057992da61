"""Measures how the surrogate's time and memory grow with samples, features and classes; extrapolates to ImageNet.

    python -m tests.benchmarks.bench_growth [--quick] [--million] [--C 1e-3]

Every point is a process of its own on synthetic features with the statistics of trained ones (half of them zero,
classes that overlap), memory-mapped in float16 from a file, so that the memory printed is the solver's: the peak of its
anonymous pages, sampled every 10 ms, less what the process had before. `--million` adds 1,000,000 x 256 with 100
classes.

The exponents are those of a least-squares fit of log seconds over the points of at least half a second. Speed with more
cores is an estimate by Amdahl's law from the same point with one thread and with all.
"""

# ruff: noqa: N803 - C and X are the names of the field
from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tests.benchmarks.bench_surrogate import synthetic

from xda.surrogate import solve

BASE = (30_000, 256, 20)
GRID = (
    *((n, BASE[1], BASE[2]) for n in (10_000, 30_000, 100_000, 300_000)),
    *((BASE[0], d, BASE[2]) for d in (128, 512, 2_048)),
    *((BASE[0], BASE[1], k) for k in (10, 100, 1_000)),
    (100_000, 512, 100),
    (100_000, 128, 500),
)
IMAGENET = (1_281_167, 2_048, 1_000)


@dataclass(frozen=True, slots=True)
class Point:
    """Size, time and memory of one fit."""

    n_samples: int
    n_features: int
    n_classes: int
    seconds: float
    memory: float
    """Peak of the solver's own memory, GiB."""
    rows: int
    gap: float
    sweeps: int


def anonymous() -> int:
    """Return the resident anonymous memory of this process in bytes: mapped files do not count."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found.group(1)) * 1024 if found else 0


def measure(shape: tuple[int, int, int], C: float, folder: Path) -> Point:
    """Fit one synthetic problem in this process."""
    solve(*synthetic(300, 10, 3), 1e-3, n_classes=3, tol=1e-9)  # compile before the clock runs, both precisions
    path = folder / "features.npy"
    labels = _write(path, shape)
    features = np.load(path, mmap_mode="r")
    before, peak, done = anonymous(), anonymous(), threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.01):
            peak = max(peak, anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    proof = solve(features, labels, C, n_classes=shape[2]).certificate
    seconds = time.perf_counter() - began
    done.set()
    watcher.join()
    return Point(*shape, seconds, (peak - before) / 2**30, proof.n_support, proof.relative_gap, proof.n_sweeps)


def _write(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """Write features in parts and return the labels, so that little of it stays in memory."""
    labels = np.empty(shape[0], dtype=np.int64)
    target = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape[:2])
    part = 50_000
    for start in range(0, shape[0], part):
        count = min(part, shape[0] - start)
        features, labels[start : start + count] = synthetic(count, shape[1], shape[2], seed=start, mixture=0)
        target[start : start + count] = features
    target.flush()
    return labels


def run(shape: tuple[int, int, int], C: float, threads: int) -> Point:
    """Measure one point in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.benchmarks.bench_growth", "--one", *map(str, shape), "--C", str(C)]
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(threads), "TMPDIR": folder}
        output = subprocess.run(
            [*command, "--folder", folder], env=environment, check=True, capture_output=True, text=True
        ).stdout
    return Point(**json.loads(output.splitlines()[-1]))


def show(point: Point, note: str = "") -> None:
    """Print one line of the table."""
    print(
        f"{point.n_samples:9d} {point.n_features:6d} {point.n_classes:6d} {point.seconds:9.2f}s "
        f"{point.memory:8.2f} GiB {point.rows:8d} {point.gap:9.1e} {point.sweeps:7d}  {note}",
        flush=True,
    )


def laws(points: list[Point]) -> tuple[np.ndarray, np.ndarray]:
    """Return constant and exponents of N, d and K for the seconds and for the memory."""
    sizes = np.log([[p.n_samples, p.n_features, p.n_classes] for p in points])
    design = np.column_stack([np.ones(len(points)), sizes])
    logs = np.log([[p.seconds, max(p.memory, 1e-3)] for p in points])
    fitted = np.linalg.lstsq(design, logs, rcond=None)[0]
    return fitted[:, 0], fitted[:, 1]


def main() -> int:
    """Measure the grid, fit the laws and extrapolate."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small problems, to see that it runs")
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--C", type=float, default=1e-3)
    parser.add_argument("--one", nargs=3, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.one:
        print(json.dumps(asdict(measure(tuple(options.one), options.C, options.folder))))
        return 0
    cores = os.cpu_count() or 1
    grid = GRID if not options.quick else ((2_000, 32, 5), (4_000, 32, 5), (2_000, 64, 5), (2_000, 32, 10))
    header = f"{'N':>9} {'d':>6} {'K':>6} {'time':>10} {'memory':>12} {'rows':>8} {'gap':>9} {'sweeps':>7}"
    print(f"C = {options.C:g}, {cores} threads\n{header}")
    points = []
    for shape in dict.fromkeys(grid):
        points.append(run(shape, options.C, cores))
        show(points[-1])
    if options.million:
        show(run((1_000_000, 256, 100), options.C, cores), "not in the fit")
    seconds, memory = laws([point for point in points if point.seconds > 0.5 or options.quick])
    print(f"seconds ~ N^{seconds[1]:.2f} d^{seconds[2]:.2f} K^{seconds[3]:.2f}")
    print(f"memory  ~ N^{memory[1]:.2f} d^{memory[2]:.2f} K^{memory[3]:.2f}")
    largest = max(points, key=lambda point: point.seconds)
    shape = (largest.n_samples, largest.n_features, largest.n_classes)
    alone = run(shape, options.C, 1)
    show(alone, "one thread")
    shared = min(1.0, max(0.0, (1.0 - largest.seconds / alone.seconds) / (1.0 - 1.0 / max(2, cores))))
    size = np.log(IMAGENET)
    expected, room = (float(np.exp(law[0] + law[1:] @ size)) for law in (seconds, memory))
    many = expected * (1.0 - shared + shared / 64) / (1.0 - shared + shared / cores)
    print(f"{shared:.0%} of the work is shared among threads")
    print(
        f"ImageNet {IMAGENET}, extrapolated: {expected / 60:.0f} min on {cores} cores, {many / 60:.0f} min on 64, "
        f"{room:.0f} GiB besides the features"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
