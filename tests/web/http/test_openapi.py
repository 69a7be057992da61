"""The JSON API matches its description: schemathesis sends allowed and forbidden requests."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from tests.conftest import serve
from tests.world import C_VALUES, RUN_ID, World
from xda.settings import Settings
from xda.web.http.openapi import EVERYWHERE

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
MAX_PAGE = 60
EXAMPLES = 8
"""Random requests to each operation, besides those at each bound of its description."""


@pytest.fixture(scope="module")
def url(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with a limit of its own, whose links are quickly made."""
    home = tmp_path_factory.mktemp("api")
    yield from serve(
        Settings(home=home, runs=str(world.run), device="cpu", max_page=MAX_PAGE, social_cards=False, cache_bytes=0)
    )


@pytest.fixture(scope="module")
def document(url: str) -> dict[str, Any]:
    """The server's OpenAPI document, with examples that exist here."""
    text = httpx.get(f"{url}/api/v1/openapi.json").text
    c = f"{C_VALUES[0]}"
    for told, here in {"mnist-cnn": RUN_ID, "24798": "248", '"c":0.001': f'"c":{c}'}.items():
        text = text.replace(told, here)
    described: dict[str, Any] = json.loads(text)
    return described


def ask(url: str, document: dict[str, Any], folder: Path, *more: str) -> tuple[int, str]:
    """Run schemathesis; return its exit status and output."""
    (folder / "api.json").write_text(json.dumps(document))
    (folder / "schemathesis.toml").write_text('hooks = "tests.web.api_checks"\n[generation]\ndatabase = "none"\n')
    program = Path(sys.executable).with_name("schemathesis")
    options = f"--url {url} --seed 1 --max-examples {EXAMPLES} --suppress-health-check all"
    # instead of the one that is left out there is the one of our own
    options += " --checks all --exclude-checks positive_data_acceptance"
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [program, "--no-color", "run", "api.json", *options.split(), *more],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout + done.stderr


def test_api_answers_match_openapi(url: str, document: dict[str, Any], tmp_path: Path) -> None:
    status, said = ask(url, document, tmp_path)
    assert status == 0, said


def test_openapi_without_limit_fails_the_check(url: str, document: dict[str, Any], tmp_path: Path) -> None:
    """The additional check is active."""
    path = "/api/v1/runs/{run}/train/{train}"
    wrong = copy.deepcopy(document)
    (limit,) = [each for each in wrong["paths"][path]["get"]["parameters"] if each["name"] == "limit"]
    assert limit["schema"].pop("maximum") == MAX_PAGE
    status, said = ask(url, wrong, tmp_path, "--include-path", path, "--phases", "coverage,fuzzing")
    assert status == 1
    assert "at most 60" in said


def test_openapi_declares_problems_of_every_operation(document: dict[str, Any]) -> None:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    operations = [(path, each) for path, methods in document["paths"].items() for each in methods.values()]
    assert len(operations) >= 11
    for path, operation in operations:
        answers = operation["responses"]
        expected = {*map(str, EVERYWHERE), *({"404"} if "{" in path else ()), *({"422"} if "{" in path else ())}
        assert expected <= set(answers), path
        assert all(answers[status]["content"] == problem for status in answers if status >= "400"), path
        assert not any("HTTPValidationError" in json.dumps(answer) for answer in answers.values())


def test_openapi_limits_equal_settings(document: dict[str, Any]) -> None:
    limits = [
        parameter["schema"]["maximum"]
        for methods in document["paths"].values()
        for parameter in methods["get" if "get" in methods else "post"].get("parameters", ())
        if parameter["name"] == "limit"
    ]
    assert limits == [MAX_PAGE] * 4
    bodies = document["paths"]["/api/v1/links"]["post"]["requestBody"]["content"]
    assert [body["schema"]["properties"]["show"]["maximum"] for body in bodies.values()] == [MAX_PAGE] * 2


@pytest.mark.parametrize("number", ["3.0", "3", "3e0"])
def test_link_request_accepts_whole_number_with_point(client: TestClient, number: str) -> None:
    body = f'{{"run": "{RUN_ID}", "test": {number}, "c": 0.0001}}'
    answer = client.post("/api/v1/links", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201
