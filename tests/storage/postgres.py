"""A PostgreSQL server for the tests: its own data folder, a Unix socket in it, no network, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import BinaryIO
from urllib.parse import quote

import psycopg
from psycopg import sql


def find_binaries() -> Path | None:
    """Return the folder of PostgreSQL's server programs, or None."""
    candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name, reverse=True)
    on_path = shutil.which("postgres")
    for folder in [*candidates, *([Path(on_path).parent] if on_path else [])]:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return None


class Postgres:
    """A running server, a context manager; root hands over to an unprivileged user, as PostgreSQL insists."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._folder = Path()
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Postgres:
        """Start the server and wait until it answers."""
        # Not pytest's folder: a Unix socket's path may have 107 bytes, and the other user must reach it.
        self._folder = Path(tempfile.mkdtemp(prefix="xda-pg-"))
        user = "postgres" if os.geteuid() == 0 else None
        if user is not None:
            account = pwd.getpwnam(user)
            os.chown(self._folder, account.pw_uid, account.pw_gid)
        data = self._folder / "data"
        initdb: list[str | Path] = [
            self._binaries / "initdb",
            "-D",
            data,
            "-A",
            "trust",
            "-U",
            "xda",
            "-E",
            "UTF8",
            "--locale=C",
            "-N",
        ]
        server: list[str | Path] = [
            self._binaries / "postgres",
            "-D",
            data,
            "-k",
            self._folder,
            "-c",
            "listen_addresses=",
            "-F",
        ]
        with (self._folder / "log").open("wb") as log:
            if self._start(initdb, user, log).wait() != 0:
                raise RuntimeError((self._folder / "log").read_text())
            self._server = self._start(server, user, log)
        self._wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server and remove its folder."""
        if self._server is not None:
            # Fast shutdown; SIGTERM would wait for every client to leave.
            self._server.send_signal(signal.SIGINT)
            try:
                self._server.wait(10)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, database: str) -> str:
        """Return the URL of a database as a person would write it."""
        return f"postgresql://xda@/{database}?host={quote(str(self._folder))}"

    def create_database(self, name: str) -> str:
        """Create an empty database and return its URL."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def _start(self, command: list[str | Path], user: str | None, log: BinaryIO) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            user=user,
            group=user,
            extra_groups=[] if user else None,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )

    def _wait(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
                return
            except psycopg.OperationalError:
                assert self._server is not None
                if self._server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self._folder / "log").read_text()) from None
                time.sleep(0.05)
