"""Forged runs with fitting hashes and harmful content, and a process that opens them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
OPENED = """
    import json, resource, socket, sys
    from pathlib import Path

    paths, allowed, limit = json.loads(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    def refuse(*_):
        print("a request was made", file=sys.stderr)
        raise SystemExit(7)

    socket.socket.connect = socket.getaddrinfo = refuse
    from xda.explanation.catalog import Catalog

    catalog = Catalog.open_paths([Path(path) for path in paths], "cpu", allow_factory=allowed)
    said = {name: explainer.no_heatmaps for name, explainer in catalog.runs.items()}
    for explainer in catalog.runs.values():
        assert explainer.explain(0).n_train > 0
    # not ru_maxrss, which a process inherits from whoever starts it
    (peak,) = (int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:"))
    print(json.dumps({"served": said, "refused": dict(catalog.refused), "peak": peak << 10}))
    catalog.close()
    """


def forge(run: Path, folder: Path, change: Callable[[dict[str, Any]], object] = lambda _: None) -> Path:
    """Copy a run and change its manifest."""
    copy = Path(shutil.copytree(run, folder))
    path = copy / "manifest.json"
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))
    return copy


def adopt(run: Path, name: str) -> Path:
    """Write hash and size of a changed file into the manifest."""
    content = (run / name).read_bytes()
    path = run / "manifest.json"
    document = json.loads(path.read_bytes())
    document["files"][name].update(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
    path.write_text(json.dumps(document))
    return run


def name_factory(run: Path, folder: Path, factory: str, **arguments: object) -> Path:
    """Copy a run whose manifest names a factory for its network, under an id of its own."""

    def change(document: dict[str, Any]) -> None:
        document["id"] = folder.name
        document["network"]["spec"] = {"factory": factory, "n_classes": 10, "arguments": arguments}

    return forge(run, folder, change)


def open_elsewhere(
    *runs: Path, allowed: Sequence[str] = (), modules: Path | None = None, limit: int = 10 << 30
) -> dict[str, Any]:
    """Open runs in one process of bounded memory that cannot make requests.

    Returns
    -------
    dict
        ``served``: why there are no heat-maps, by id of a run; ``refused``: the reason by folder; ``peak``: most
        resident memory in bytes.
    """
    found = [str(ROOT / "app"), *([str(modules)] if modules is not None else [])]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(OPENED), json.dumps([[str(run) for run in runs], list(allowed), limit])],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(found), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
