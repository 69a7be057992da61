"""Liveness, readiness, version, metrics."""

from __future__ import annotations

from starlette.testclient import TestClient


def test_healthz(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
