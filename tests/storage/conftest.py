"""Fixtures of the storage tests: a tiny run, and the URL of an empty database of each kind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.storage.postgres import Postgres, find_binaries
from tests.storage.run.tiny_run import build
from xda.storage.run import growing_arrays


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip fsync, which only matters in a power cut and would take most of the time on a slow disk."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(autouse=True)
def _a_mark_behind_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write every mark, even if that takes time."""
    monkeypatch.setattr(growing_arrays, "PATIENCE", 0.0)


@pytest.fixture
def run_path(tmp_path: Path) -> Path:
    """Return the path of a freshly built tiny run."""
    path = tmp_path / "runs" / "tiny"
    build(path)
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Start a PostgreSQL server of our own for the session."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed; `make test` brings it (or run tests/provision.sh)")
    with Postgres(binaries) as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'links.sqlite3'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.create_database(f"xda_{uuid4().hex}")
