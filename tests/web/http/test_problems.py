"""Errors as problem+json and as pages: the choice between the two, and their content."""

from __future__ import annotations

import logging
import re
from html import unescape

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.testclient import TestClient

from tests.web.conftest import MakeClient
from tests.world import RUN_ID
from xda.errors import BusyError, ConflictError, NotFoundError, RunError, XdaError
from xda.explanation.run import Explainer
from xda.web.http.problems import MEDIA_TYPE, describe, wants_page

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


def request(path: str, root: str = "", **headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": path, "root_path": root, "query_string": b"", "headers": raw}
    return Request(scope)


@pytest.mark.parametrize(
    ("path", "headers", "page"),
    [
        ("/r/x", {"accept": BROWSER}, True),
        ("/r/x", {"accept": "text/html"}, True),
        ("/r/x", {"accept": "application/xhtml+xml"}, True),
        ("/r/x", {"accept": "*/*"}, False),
        ("/r/x", {}, False),
        ("/r/x", {"accept": "application/json"}, False),
        ("/r/x", {"accept": "application/json, text/html;q=0.9"}, False),
        ("/r/x", {"accept": "application/json;q=0.5, text/html;q=0.9"}, True),
        ("/r/x", {"accept": "application/problem+json, text/html;q=0.5"}, False),
        ("/r/x", {"accept": "text/html;q=0"}, False),
        ("/r/x", {"accept": "text/html;q=high"}, False),
        ("/r/x", {"accept": "*/*", "hx_request": "true"}, True),
        ("/api/v1/runs", {"accept": BROWSER}, False),
        ("/api/v1/nothing", {"accept": BROWSER, "hx_request": "true"}, False),
        ("/healthz", {"accept": BROWSER}, False),
        ("/static/x.css", {"accept": BROWSER}, False),
        ("/apiary", {"accept": BROWSER}, True),
    ],
)
def test_wants_page_depends_on_path_and_accept(path: str, headers: dict[str, str], page: bool) -> None:
    assert wants_page(request(path, **headers)) is page
    assert wants_page(request(f"/tools/xda{path}", "/tools/xda", **headers)) is page


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (NotFoundError("x"), 404, "urn:xda:problem:not-found"),
        (ConflictError("x"), 409, "urn:xda:problem:conflict"),
        (RunError("x"), 503, "urn:xda:problem:run"),
        (XdaError("x"), 500, "urn:xda:problem:xda"),
        (HTTPException(405), 405, "about:blank"),
        (HTTPException(499), 499, "about:blank"),
        (ValueError("secret"), 500, "about:blank"),
    ],
)
def test_describe_gives_status_type_and_detail(error: Exception, status: int, kind: str) -> None:
    problem = describe(error)
    assert (problem.status, problem.type) == (status, kind)
    assert problem.detail
    assert "secret" not in problem.detail


def test_busy_error_has_retry_after() -> None:
    assert describe(BusyError("x", retry_after=7)).headers == {"Retry-After": "7"}


def test_problem_of_many_fields_is_short() -> None:
    wrong = [{"loc": ("body", "k" * 1000), "msg": "no" * 1000, "type": "x"}] * 1000
    assert len(describe(RequestValidationError(wrong)).to_json()) < 20_000


def check(body: dict[str, object], status: int) -> None:
    assert {"type", "title", "status", "detail", "instance", "request_id"} <= set(body)
    assert body["status"] == status
    assert "Traceback" not in str(body)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/api/v2/runs", 404),
        ("GET", "/api/v1/runs/other/test/0/explanation", 404),
        ("GET", f"/api/v1/runs/{RUN_ID}/test/120/explanation", 404),
        ("GET", f"/api/v1/runs/{RUN_ID}/test/x/explanation", 404),
        ("GET", f"/api/v1/runs/{RUN_ID}/train/x", 404),
        ("GET", f"/api/v1/runs/{RUN_ID}/test?limit=x", 422),
        ("POST", "/api/v1/runs", 405),
        ("DELETE", f"/r/{RUN_ID}", 405),
        ("PUT", "/healthz", 405),
        ("GET", "/api/v1/links", 405),
        ("GET", "/static/nothing.css", 404),
        ("GET", "/static/%2e%2e/pyproject.toml", 404),
    ],
)
def test_problem_json_has_all_members(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.headers["cache-control"] == "no-store"
    check(answer.json(), status)
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    if status == 405:
        assert answer.headers["allow"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nothing", 404), (f"/r/{RUN_ID}/test/120", 404), (f"/r/{RUN_ID}/test/0?target=x", 422), ("/s/abcdefgh", 404)],
)
def test_error_page_shows_request_id_without_traceback(client: TestClient, path: str, status: int) -> None:
    answer = client.get(path, headers={"Accept": BROWSER})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "Accept" in answer.headers["vary"]
    assert answer.headers["x-request-id"] in answer.text
    assert "Traceback" not in answer.text
    check(client.get(path, headers={"Accept": "application/json"}).json(), status)


@pytest.fixture
def broken(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, explainer: Explainer) -> TestClient:
    """A client of an application whose explanations fail with an unexpected error."""

    def explain(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a secret of the inside")

    client = make_client()  # a run that does not answer when it is opened is refused
    for method in ("explain", "decompose"):
        monkeypatch.setattr(Explainer, method, explain)
    return client


def test_unexpected_error_is_500_and_logged(broken: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    answer = broken.get(f"/api/v1/runs/{RUN_ID}/test/0/explanation", headers={"X-Request-ID": "ticket-17"})
    assert answer.status_code == 500
    check(answer.json(), 500)
    assert answer.json()["request_id"] == "ticket-17"
    assert "secret" not in answer.text
    assert answer.headers["content-security-policy"]
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)


def test_unexpected_error_page_hides_secrets(broken: TestClient) -> None:
    answer = broken.get(f"/r/{RUN_ID}/test/0", headers={"Accept": BROWSER})
    assert answer.status_code == 500
    assert answer.headers["content-type"].startswith("text/html")
    assert "secret" not in answer.text


def test_error_page_failing_becomes_json(make_client: MakeClient) -> None:
    client = make_client()

    def page(*_: object) -> None:
        raise KeyError("template")

    client.app.state.error_page = page  # type: ignore[attr-defined]
    answer = client.get("/nothing", headers={"Accept": BROWSER})
    assert answer.status_code == 404
    check(answer.json(), 404)


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/r/digits/test/abc", 404, "There is no test image &#39;abc&#39;; test images are 0 to 119."),
        ("/r/digits/test/1/train/x", 404, "There is no training image &#39;x&#39;; training images are 0 to"),
        ("/r/digits/test/1?target=two", 422, "`target` is &#39;two&#39;; it must be a whole number from 0 to 9."),
        ("/r/digits/go?test=abc", 422, "`test` is &#39;abc&#39;; it must be a whole number from 0 to 119."),
        ("/r/digits?correct=maybe", 422, "it must be one of: true, false."),
        ("/r/digits/test/1?c=7", 404, "has no surrogate with C = 7"),
    ],
)
def test_error_page_names_existing_things_and_keeps_run_header(
    client: TestClient, path: str, status: int, words: str
) -> None:
    answer = client.get(path, headers={"Accept": BROWSER})
    assert answer.status_code == status
    assert words in answer.text
    assert "Input should" not in answer.text
    assert 'href="/r/digits" class="plain"' in answer.text
    assert 'action="/r/digits/go"' in answer.text
    assert 'id="c-1"' in answer.text


def test_error_page_of_wrong_c_links_to_existing_ones(client: TestClient) -> None:
    page = client.get("/r/digits/test/1?c=7&target=3", headers={"Accept": BROWSER}).text
    links = re.findall(r'<a id="c-\d+" href="([^"]+)"', page)
    for link in links:
        assert link.startswith("/r/digits/test/1?")
        assert client.get(unescape(link)).status_code == 200


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("[]", "The body must be a JSON object."),
        ('{"run": "digits", "test": "x"}', "`test` must be a whole number."),
        ('{"run": "digits", "test": -1}', "`test` must be 0 or more."),
        ('{"run": "digits"}', "`test` is missing."),
        ('{"run": "digits", "test": 1, "scale": "x"}', "`scale` must be 'own' or 'page'."),
        ('{"run": "digits", "test": 1, "odd": 1}', "`odd` is not known here."),
    ],
)
def test_problem_describes_wrong_fields_plainly(client: TestClient, body: str, words: str) -> None:
    answer = client.post("/api/v1/links", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["detail"] == words
