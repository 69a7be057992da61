"""Kills a build before each of its changes to the file system, one after the other, and checks the remaining files.

A script of its own: it forks for every kill, which only a process without threads may do. An audit hook counts what
Python is about to change (files opened for writing, renames, removals, new folders) and kills the process with
SIGKILL at the chosen one, so no ``finally`` and no buffer gets another chance. Prints one line of JSON: ``{"kills":
..., "skipped_stages": ..., "resumed": ..., "failures": [...]}``.

Usage: ``python -m tests.storage.run.crash_driver FOLDER fresh|rebuild|rebuild-without-exchange``
"""

from __future__ import annotations

import gc
import json
import os
import random
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pyarrow.dataset  # noqa: F401 - once here rather than in every child

from tests.storage.run.tiny_run import ALL_STAGES, SPLITS, build, outputs, write_stages
from xda.errors import RunError
from xda.storage.run import growing_arrays, swap
from xda.storage.run.folder import RunFolder
from xda.storage.run.writer import RunWriter

_CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink"}


def die_at(change: int) -> None:
    """Kill this process just before its change number ``change`` to the file system."""
    left = change

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        writes = (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        )
        if event in _CHANGES or writes:
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    sys.addaudithook(hook)


def in_child(work: Callable[[], object], report: Path) -> bool:
    """Run ``work`` in a forked process, result or traceback into ``report``; return whether it ended by itself."""
    child = os.fork()
    if child == 0:
        try:
            report.write_text(json.dumps({"result": work()}))
        except BaseException:
            report.write_text(json.dumps({"failure": traceback.format_exc()}))
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def prepare(out: Path) -> None:
    """Build an old run, and all stages of the new one: only the commit is left to be killed."""
    build(out, 0)
    with RunWriter(out, "tiny") as writer:
        write_stages(writer, 1)


def look(out: Path) -> None:
    """Open the run after a crash like a reader: the old run or the new one, whole, or none if there was none."""
    old = out.parent.joinpath("old run").exists()
    try:
        run = RunFolder.open(out, verify=True)
    except RunError:
        assert not old
        assert not out.exists()
        return
    assert run.manifest.title == "Tiny 1" or (old and run.manifest.title == "Tiny 0"), run.manifest.title
    assert run.table("train.parquet").num_rows == 6


def finish(out: Path) -> list[str]:
    """Build again, check that the result is right and that nothing else is left; return the stages computed."""
    run, computed = build(out, 1)
    assert run.manifest.title == "Tiny 1"
    run.verify_files()
    assert RunFolder.open(out).digest == run.digest
    for split in SPLITS:
        for name, expected in outputs(1, split).items():
            assert (run.array(name) == expected).all(), name
    inside = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert inside == {*run.manifest.files, "manifest.json"}, inside
    around = {path.name for path in out.parent.iterdir()} - {"old run"}
    assert around == {out.name, f".{out.name}.lock"}, around
    return computed


def look_and_finish(out: Path) -> list[str]:
    """Check the run that a reader finds, and the next build."""
    look(out)
    return finish(out)


def killed_build(out: Path, change: int) -> None:
    """Build until the chosen change."""
    die_at(change)
    build(out, 1)


def try_moment(out: Path, report: Path, change: int, second: int | None) -> bool:
    """Kill a build, and perhaps the next one too, then check; return whether the first one ended by itself."""
    survived = in_child(lambda: killed_build(out, change), report)
    if second is not None and not survived:
        in_child(lambda: killed_build(out, second), report)
    in_child(lambda: look_and_finish(out), report)
    return survived


def main(folder: Path, scenario: str) -> None:
    """Try every moment of one scenario."""
    if scenario == "rebuild-without-exchange":
        swap.exchange = lambda first, second: False
    # A kill loses nothing that was written; only a power cut does, and waiting for the disk would take minutes here.
    os.fsync = lambda descriptor: None  # type: ignore[assignment]
    growing_arrays.PATIENCE = 0.0
    gc.freeze()
    in_child(lambda: prepare(folder / "old" / "tiny"), folder / "old.json")
    (folder / "old" / "old run").touch()
    chance = random.Random(scenario)
    failures: list[str] = []
    skipped = resumed = 0
    for kill in range(1000):
        out, report = folder / str(kill) / "tiny", folder / f"{kill}.json"
        if scenario != "fresh":
            shutil.copytree(folder / "old", out.parent)
        survived = try_moment(out, report, kill, chance.randrange(40) if kill % 4 == 0 else None)
        answer = json.loads(report.read_text())
        if "failure" in answer:
            failures.append(f"kill {kill}: {answer['failure']}")
        else:
            skipped += len(ALL_STAGES) - len(answer["result"])
            resumed += any(" from " in stage for stage in answer["result"])
        if survived:
            print(json.dumps({"kills": kill, "skipped_stages": skipped, "resumed": resumed, "failures": failures}))
            return
    raise SystemExit("the build never ended by itself")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
