"""A server process, or several, over run folders: what is checked before it starts, and its start.

In: settings, an address and a number of workers. Out: nothing until the server ends; it prints its address once a page
answers.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from xda.errors import ConfigError, RunError, XdaError
from xda.runs.foreign_errors import contained
from xda.settings import Settings
from xda.storage.run.folder import RunFolder
from xda.web.announcement import EVERYWHERE, announce


def unopenable(runs: Sequence[Path]) -> list[str]:
    """Return the reason for each run folder that cannot be opened; RunError if none can."""
    problems = []
    for path in runs:
        try:
            with contained(lambda said: RunError(f"This run cannot be opened: {said}.")):
                RunFolder.open(path)
        except XdaError as error:
            problems.append(str(error))
    if len(problems) == len(runs):
        raise RunError(" ".join(problems))
    return problems


def free_port(host: str, port: int) -> int:
    """Return a port that can be listened on, any free one for 0; ConfigError if it cannot be used."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    except (OSError, OverflowError) as error:
        raise ConfigError(f"{host}:{port} cannot be used ({error}); choose another with --host and --port.") from None


def allowed_hosts(settings: Settings, host: str) -> str:
    """Return the names that a server listening on a host answers to: those of the settings, and the host's own."""
    given = settings.allowed_hosts
    return given if host in EVERYWHERE else ",".join(filter(None, [given, host.partition("%")[0]]))


def run_server(settings: Settings, host: str, port: int, workers: int) -> None:
    """Serve until the process is stopped.

    Parameters
    ----------
    settings : Settings
        Passed on to the worker processes in the environment.
    host, port : str, int
        Address to listen on.
    workers : int
        Number of processes.

    Raises
    ------
    RunError
        No run could be served.
    """
    import uvicorn

    # Worker processes read their settings from the environment.
    for name in ("home", "runs", "device", "root_path", "allowed_hosts", "allow_factory"):
        os.environ[f"XDA_{name.upper()}"] = str(getattr(settings, name))
    local = EVERYWHERE.get(host, host)
    shown = f"[{local}]" if ":" in local else local
    address = f"DualXDA Explorer: http://{shown}:{port}{settings.root_path}/"
    if host in EVERYWHERE:
        address += f"   (answers to {', '.join(settings.hosts)}; add names with XDA_ALLOWED_HOSTS)"
    announce(local, port, lambda: print(address, flush=True))
    # Workers cannot end this process themselves.
    with tempfile.TemporaryDirectory(prefix="xda-") if workers > 1 else nullcontext(".") as folder:
        report = Path(folder) / "nothing-served"
        os.environ["XDA_NOTHING_SERVED"] = str(report)
        uvicorn.run(
            "xda.web.factory:create_served_app",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=10,
        )
        if workers > 1 and report.exists():
            raise RunError(report.read_text(encoding="utf-8"))
