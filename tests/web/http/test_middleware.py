"""Request ids, security headers, HEAD, size limits, path prefixes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.web.conftest import MakeClient
from tests.world import RUN_ID
from xda.web.http.middleware import MAX_HEADERS, MAX_TARGET

EXPLANATION = f"/api/v1/runs/{RUN_ID}/test/0/explanation"


def test_security_headers_are_on_every_answer(client: TestClient) -> None:
    for path in ("/", "/healthz", EXPLANATION, "/nothing", "/static/css/none.css", f"{EXPLANATION}?limit=x"):
        headers = client.get(path).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert "camera=()" in headers["permissions-policy"]


def test_request_id_sane_is_kept(client: TestClient) -> None:
    answer = client.get("/healthz", headers={"X-Request-ID": "proxy:1.2-3_4"})
    assert answer.headers["x-request-id"] == "proxy:1.2-3_4"


@pytest.mark.parametrize("given", ["", " ", "a b", "x" * 129, "ä", '"><script>', "a\tb"])
def test_request_id_senseless_is_replaced(client: TestClient, given: str) -> None:
    headers = [(b"X-Request-ID", given.encode("latin-1"))]
    made = client.get("/healthz", headers=headers).headers["x-request-id"]
    assert made != given
    assert made.isalnum()


def test_request_id_differs_each_time(client: TestClient) -> None:
    assert len({client.get("/healthz").headers["x-request-id"] for _ in range(20)}) == 20


@pytest.mark.parametrize("path", ["/", "/healthz", EXPLANATION, f"/r/{RUN_ID}/test/0", "/nothing"])
def test_head_is_get_without_a_body(client: TestClient, path: str) -> None:
    get, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    if get.status_code == 200:
        assert head.headers["content-length"] == get.headers["content-length"]
        assert head.headers.get("etag") == get.headers.get("etag")


def test_long_address_is_414(client: TestClient) -> None:
    answer = client.get("/healthz?" + "x" * MAX_TARGET)
    assert answer.status_code == 414
    assert answer.json()["status"] == 414
    assert client.get("/healthz?" + "x" * (MAX_TARGET - 100)).status_code == 200


def test_large_headers_are_431(client: TestClient) -> None:
    assert client.get("/healthz", headers={"X-Large": "x" * MAX_HEADERS}).status_code == 431


def chunks(size: int) -> Iterator[bytes]:
    """A body without Content-Length."""
    for _ in range(size // 1000):
        yield b"x" * 1000


@pytest.mark.parametrize("path", ["/api/v1/links", "/healthz", "/nothing"])
def test_large_body_is_413(make_client: MakeClient, path: str) -> None:
    client = make_client(max_body_bytes=10_000)
    answer = client.post(path, content=b"x" * 10_001, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert "10,000 bytes" in answer.json()["detail"]


def test_large_body_without_length_is_413(make_client: MakeClient) -> None:
    client = make_client(max_body_bytes=10_000)
    for media_type in ("application/json", "application/x-www-form-urlencoded"):
        answer = client.post("/api/v1/links", content=chunks(20_000), headers={"Content-Type": media_type})
        assert answer.status_code == 413
        assert answer.json()["status"] == 413
    fitting = client.post("/api/v1/links", content=chunks(9_000), headers={"Content-Type": "application/json"})
    assert fitting.status_code == 422


@pytest.mark.parametrize("length", ["-1", "1e3", "9" * 30, "x", "٣"])
def test_senseless_content_length_is_413(client: TestClient, length: str) -> None:
    headers = [(b"Content-Length", length.encode()), (b"Content-Type", b"application/json")]
    assert client.post("/api/v1/links", headers=headers, content=b"{}").status_code == 413


@pytest.mark.parametrize("root_path", ["/tools/xda", "tools/xda/"])
@pytest.mark.parametrize("stripped", [True, False])
def test_prefix_from_setting_is_in_all_links(make_client: MakeClient, root_path: str, stripped: bool) -> None:
    client = make_client(root_path=root_path)
    before = "" if stripped else "/tools/xda"
    assert client.get(f"{before}/healthz").status_code == 200
    assert client.get(f"{before}{EXPLANATION}").status_code == 200
    page = client.get(f"{before}/r/{RUN_ID}").text
    assert 'href="/tools/xda/' in page
    assert 'href="/r/' not in page
    assert 'src="/static' not in page
    made = client.post(f"{before}/api/v1/links", json={"run": RUN_ID, "test": 0})
    assert made.json()["url"] == f"http://testserver/tools/xda/s/{made.json()['id']}"


@pytest.mark.parametrize("before", ["", "/tools"])
def test_redirect_behind_prefix_keeps_prefix(make_client: MakeClient, before: str) -> None:
    answer = make_client(root_path="/tools").get(f"{before}/r/{RUN_ID}/")
    assert answer.status_code == 307
    assert answer.headers["location"] == f"/tools/r/{RUN_ID}"


def test_prefix_from_header_is_in_links(client: TestClient) -> None:
    page = client.get(f"/r/{RUN_ID}", headers={"X-Forwarded-Prefix": "/behind/"}).text
    assert 'href="/behind/r/' in page
    assert 'href="/behind/' not in client.get(f"/r/{RUN_ID}").text


@pytest.mark.parametrize("prefix", ["//evil.example", "/a/../b", "/a b", '/"><script>', "evil", "/", "/a" * 20, ""])
def test_prefix_senseless_is_ignored(client: TestClient, prefix: str) -> None:
    page = client.get(f"/r/{RUN_ID}", headers={"X-Forwarded-Prefix": prefix})
    assert page.status_code == 200
    assert 'href="/r/' in page.text
    assert "evil" not in page.text
    assert "<script>" not in page.text


@pytest.fixture
def named(make_client: MakeClient) -> TestClient:
    """A client of a server that knows its default names and two more."""
    return make_client(public_url="https://xda.example/tools", allowed_hosts="lab.example,*.lab.example, 2001:DB8::1 ")


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:8000",
        "127.0.0.1",
        "127.0.0.1:65535",
        "[::1]",
        "[::1]:8000",
        "xda.example",
        "xda.example:443",
        "lab.example",
        "one.lab.example",
        "[2001:db8::1]:80",
    ],
)
def test_host_known_is_answered(named: TestClient, host: str) -> None:
    for path in ("/healthz", EXPLANATION, f"/r/{RUN_ID}", "/api/v1/runs"):
        assert named.get(path, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "evillab.example",
        "testserver",
        "10.0.0.5",
        "0.0.0.0:8000",
        "[::2]",
        "::1",
        "localhost@evil.example",
        "evil.example/localhost",
        "localhost:x",
        "<script>alert(1)</script>",
        "ü",
        "",
        "x" * 300,
    ],
)
def test_host_unknown_is_refused(named: TestClient, host: str) -> None:
    headers = [(b"Host", host.encode("latin-1"))]
    for path in ("/", "/healthz", "/readyz", "/metrics", EXPLANATION, "/media/x", "/nothing", "/static", "//static/x"):
        answer = named.get(path, headers=[*headers, (b"Accept", b"application/json")])
        assert answer.status_code == 400, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert "XDA_ALLOWED_HOSTS" in answer.json()["detail"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    page = named.get("/", headers=[*headers, (b"Accept", b"text/html")])
    assert page.status_code == 400
    assert 'href="/static/css' in page.text
    assert "<script>alert" not in page.text
    posted = named.post("/api/v1/links", json={"run": RUN_ID, "test": 0}, headers=headers)
    assert posted.status_code == 400


def test_host_twice_or_missing_is_refused(named: TestClient) -> None:
    assert named.get("/healthz", headers=[("Host", "localhost"), ("Host", "evil.example")]).status_code == 400
    request = named.build_request("GET", "/healthz")
    del request.headers["Host"]
    request.headers["Host"] = ""
    assert named.send(request).status_code == 400


@pytest.mark.parametrize("before", ["", "/tools"])
def test_host_unknown_behind_prefix_gets_styled_error_page(make_client: MakeClient, before: str) -> None:
    client = make_client(root_path="/tools", allowed_hosts="*.example.org")
    assert client.get(f"{before}/healthz", headers={"Host": "xda.example.org"}).status_code == 200
    page = client.get(f"{before}/r/{RUN_ID}", headers={"Host": "evil.example:80", "Accept": "text/html"})
    assert page.status_code == 400
    assert "the name &#39;evil.example&#39;" in page.text
    styles = re.findall(r'href="(/tools/static/css/[^"]+)"', page.text)
    assert styles
    for style in styles:
        assert client.get(style, headers={"Host": "evil.example"}).status_code == 200


def test_host_any_is_answered_with_star(make_client: MakeClient) -> None:
    client = make_client(allowed_hosts="*")
    for _ in range(3):
        for number in range(300):
            assert client.get("/healthz", headers={"Host": f"h{number}.example"}).status_code == 200


def test_redirect_has_no_host(named: TestClient) -> None:
    for host in ("localhost:8000", "lab.example", "[::1]:1"):
        answer = named.get(f"/r/{RUN_ID}/?order=margin", headers={"Host": host})
        assert (answer.status_code, answer.headers["location"]) == (307, f"/r/{RUN_ID}?order=margin")
    for path in (f"//evil.example/r/{RUN_ID}/", "//evil.example/", "/static//evil.example/"):
        answer = named.get(path, headers={"Host": "localhost"})
        assert not answer.headers.get("location", "/").startswith("//")


def test_static_file_with_hash_is_immutable(client: TestClient) -> None:
    page = client.get("/").text
    address = next(part for part in page.split('"') if part.startswith("/static/") and ".css" in part)
    answer = client.get(address)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    for other in (address.split("?")[0], address[:-1] + "x", address.split("?")[0] + "?v=", address[:-9]):
        revalidated = client.get(other)
        assert revalidated.headers["cache-control"] == "no-cache"
        assert client.get(other, headers={"If-None-Match": revalidated.headers["etag"]}).status_code == 304
