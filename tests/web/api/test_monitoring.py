"""Liveness, readiness, version, metrics."""

from __future__ import annotations

import re

from starlette.testclient import TestClient

import xda
from tests.web.conftest import MakeClient
from tests.world import RUN_ID


def test_healthz_is_ok(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


def test_readyz_names_runs(client: TestClient) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "runs": [RUN_ID], "refused": {}}
    assert answer.headers["cache-control"] == "no-store"


def test_version_is_that_of_the_package(client: TestClient) -> None:
    answer = client.get("/version").json()
    assert answer["name"] == "dualxda-explorer"
    assert re.fullmatch(r"\d+\.\d+.*", answer["version"])
    assert answer["version"] == xda.__version__
    assert client.get("/api/v1/openapi.json").json()["info"]["version"] == xda.__version__


def test_metrics_count_by_route_template(make_client: MakeClient) -> None:
    client = make_client()
    for test in (0, 1, 2):
        client.get(f"/api/v1/runs/{RUN_ID}/test/{test}/explanation")
    client.get(f"/api/v1/runs/{RUN_ID}/test/999/explanation")
    client.get("/nowhere/at/all")
    text = client.get("/metrics").text
    route = "/api/v1/runs/{run}/test/{test}/explanation"
    assert f'xda_http_requests_total{{method="GET",route="{route}",status="200"}} 3.0' in text
    assert f'xda_http_requests_total{{method="GET",route="{route}",status="404"}} 1.0' in text
    assert 'xda_http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in text
    assert f'xda_http_request_seconds_count{{method="GET",route="{route}"}} 4.0' in text
    assert "/nowhere" not in text
    assert "xda_ready 1.0" in text
    assert "xda_device_queue_length 0.0" in text
    assert f'xda_heatmaps_total{{cache="miss",run="{RUN_ID}"}}' in text
    assert "process_resident_memory_bytes" in text


def test_metrics_of_two_applications_are_separate(make_client: MakeClient) -> None:
    first, second = make_client(), make_client()
    first.get("/healthz")
    assert 'route="/healthz"' not in second.get("/metrics").text


def test_docs_redirect_to_openapi(make_client: MakeClient) -> None:
    answer = make_client(root_path="/tools").get("/docs")
    assert (answer.status_code, answer.headers["location"]) == (307, "/tools/api/v1/openapi.json")


def test_metrics_distinguish_static_files_from_unknown_paths(client: TestClient) -> None:
    client.get("/static/css/tokens.css")
    client.get("/api/v1/openapi.json")
    client.get("/made-up")
    text = client.get("/metrics").text
    assert 'route="/static"' in text
    assert 'route="/api"' in text
    assert "made-up" not in text
