"""Nasty values in every place of every route: a clear 4xx or a right answer, never a 500, never a traceback."""

from __future__ import annotations

import itertools
import re
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest
from starlette.testclient import TestClient

from tests.web.conftest import MakeClient
from tests.world import RUN_ID

NUMBERS = [
    "-1", "-0", "+1", "1.0", "1e3", "0x10", "010", "1_000", " 1", "1 ", "", "x", "true", "null", "NaN", "nan", "inf",
    "-inf", "Infinity", "1e400", "-1e-400", "120", "600", "2147483648", "9223372036854775808", "9" * 30, "9" * 5000,
    "１２", "٣", "²", "Ⅷ", "1\x00", "\x00", "1\n", "1,2", "[1]", "{}", "'", '"', "<script>alert(1)</script>",
    "../../etc/passwd", "%2e%2e", "%", "%zz", "😀", "\ud800", "a" * 7000, "1;drop table link", "${7*7}", "{{7*7}}",
]  # fmt: skip
WORDS = [*NUMBERS, RUN_ID.upper(), RUN_ID + " ", RUN_ID + "\x00", "..", ".", "~", "con", "-"]

PATHS = [
    "/api/v1/runs/{run}/test",
    "/api/v1/runs/{run}/test/{n}/explanation",
    "/api/v1/runs/{run}/test/{n}/comparison",
    "/api/v1/runs/{run}/pairs/{n}/{m}/relevance",
    "/api/v1/runs/{run}/train/{n}",
    "/r/{run}",
    "/r/{run}/test/{n}",
    "/r/{run}/test/{n}/compare",
    "/r/{run}/test/{n}/comparison.csv",
    "/r/{run}/test/{n}/explanation.svg",
    "/r/{run}/test/{n}/train/{m}",
    "/r/{run}/test/{n}/train/{m}/pair.pdf",
    "/r/{run}/train/{n}",
    "/s/{run}",
    "/s/{run}/card.png",
    "/s/{run}/media/{n}",
    "/media/{run}/test/{n}",
    "/media/{digest}/test/{n}",
    "/media/{digest}/{n}/0",
    "/media/{digest}/relevance/c{n}/0-own-1/test.png",
    "/media/{digest}/relevance/c0.01/0-{n}-{m}/test.png",
    "/media/{digest}/relevance/c0.01/{n}-own-{m}/train.f32",
    "/media/{digest}/relevance/c0.01/{n}-own-{m}/train.i16",
    "/static/{n}",
]
QUERIES = {
    "/api/v1/runs/{run}/test": (
        "predicted", "label", "correct", "disagrees", "max_margin", "order", "c", "limit", "cursor", "unknown",
    ),
    "/api/v1/runs/{run}/test/0/explanation": ("c", "target", "against", "limit", "train_class", "unknown"),
    "/api/v1/runs/{run}/test/0/comparison": (
        "c", "with", "with_c", "target", "against", "only", "by", "limit", "unknown",
    ),
    "/api/v1/runs/{run}/pairs/0/0/relevance": ("c", "target", "against", "unknown"),
    "/api/v1/runs/{run}/train/0": ("c", "limit", "unknown"),
    "/r/{run}": ("label", "predicted", "correct", "disagrees", "max_margin", "order", "c", "cursor", "go", "unknown"),
    "/r/{run}/go": ("test", "c", "number", "i"),
    "/r/{run}/test/0": (
        "c", "target", "against", "train_class", "show", "map", "scale", "opacity", "rank", "remove", "refit",
        "unknown",
    ),
    "/r/{run}/test/0/compare": (
        "c", "with", "with_c", "other", "target", "against", "only", "by", "rows", "at", "with_at", "map", "opacity",
    ),
    "/r/{run}/test/0/comparison.json": ("c", "with", "with_c", "only", "by", "target"),
    "/r/{run}/test/0/train/0": ("c", "target", "against", "map", "scale", "opacity", "rank", "unknown"),
    "/r/{run}/test/0/explanation.svg": ("c", "target", "against", "train_class", "show", "map", "scale", "unknown"),
    "/r/{run}/test/0/train/0/pair.pdf": ("c", "target", "against", "map", "scale", "unknown"),
    "/r/{run}/train/0": ("c", "limit", "show"),
    "/media/{digest}/relevance/c0.01/0-own-1/test.png": ("map", "scale", "show", "train_class"),
    "/media/{digest}/relevance/c0.01/0-own-1/test.i16": ("show", "train_class", "alone"),
}  # fmt: skip


def encoded(value: str) -> str:
    return quote(value.encode("utf-8", "surrogatepass"), safe="")


def check(path: str, answer: httpx.Response) -> None:
    """Check that an answer names the error and reveals no internals."""
    assert answer.status_code < 500, (path[:200], answer.status_code, answer.text[:500])
    assert "Traceback" not in answer.text
    kind = answer.headers.get("content-type", "")
    if kind.startswith("text/html"):
        assert "<script>alert" not in answer.text
    elif answer.status_code >= 400:
        assert kind == "application/problem+json", path
        assert answer.json()["detail"]


def ask(client: TestClient, paths: list[str]) -> None:
    """Request all paths on the application's own loop, since a test client would need a thread for each."""

    async def all_of_them() -> None:
        transport = httpx.ASGITransport(client.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as asking:
            for path in paths:
                accept = "application/json" if path.startswith("/api/") else "text/html"
                check(path, await asking.get(path, headers={"Accept": accept}))

    assert client.portal is not None
    client.portal.call(all_of_them)


@pytest.mark.parametrize("path", PATHS)
def test_bad_path_is_answered_without_500(client: TestClient, explainer_digest: str, path: str) -> None:
    def filled(**values: str) -> str:
        return path.format(**{"run": RUN_ID, "digest": explainer_digest, "n": 0, "m": 0, **values})

    paths = [filled(n=encoded(value)) for value in NUMBERS]
    paths += [filled(m=encoded(value)) for value in NUMBERS] if "{m}" in path else []
    paths += [filled(run=encoded(value)) for value in WORDS] if "{run}" in path else []
    ask(client, list(dict.fromkeys(paths)))


@pytest.fixture
def explainer_digest(client: TestClient) -> str:
    return str(client.get("/api/v1/runs").json()[0]["digest"])[:16]


@pytest.mark.parametrize(
    ("path", "name"), [(path, name) for path, names in QUERIES.items() for name in names], ids=lambda part: part
)
def test_bad_query_is_answered_without_500(client: TestClient, explainer_digest: str, path: str, name: str) -> None:
    filled = path.format(run=RUN_ID, digest=explainer_digest)
    # A page that ignores the name draws everything again for each value, so a few values suffice.
    values = NUMBERS[::8] if name == "unknown" else NUMBERS
    odd = [f"{name}=1&{name}=2", name, f"{name}[]=1&{name}[a]=2", f"&&=&{name}==1&%00=%00"]
    ask(client, [f"{filled}?{query}" for query in (*(f"{name}={encoded(value)}" for value in values), *odd)])


@pytest.mark.parametrize(
    "query",
    ["c=nan", "c=inf", "c=0", "c=-1", "c=x", "limit=0", "limit=-1", "limit=501", "limit=1e2", "target=-1", "target=1.5",
     "unknown=1", "target=1&target=2", "target=3&against=3", "limit=9999999999999999999999", "train_class=x"],
)  # fmt: skip
def test_unusable_query_value_is_422(client: TestClient, query: str) -> None:
    assert client.get(f"/api/v1/runs/{RUN_ID}/test/0/explanation?{query}").status_code == 422


@pytest.mark.parametrize("query", ["c=0.5", "target=10", "against=10", "train_class=10", "target=999999999999"])
def test_missing_class_or_c_is_404(client: TestClient, query: str) -> None:
    assert client.get(f"/api/v1/runs/{RUN_ID}/test/0/explanation?{query}").status_code == 404


GOOD = {"run": RUN_ID, "test": 0}
DEEP = b'{"run":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
BODIES: list[tuple[bytes, int]] = [
    (b"", 422), (b" ", 422), (b"{", 422), (b"{}", 422), (b"[]", 422), (b"null", 422), (b"1", 422), (b'"x"', 422),
    (b"\x00", 422), (b"\xff\xfe{}", 422), (b'\xef\xbb\xbf{"run":1}', 422), (DEEP, 422), (b"NaN", 422),
    (b'{"run":"digits","test":NaN}', 422), (b'{"run":"digits","test":Infinity}', 422),
    (b'{"run":"digits","test":1e400}', 422), (b'{"run":"digits","test":' + b"9" * 400 + b"}", 422),
    (b'{"run":"digits","test":0} trailing', 422), (b"{'run':'digits'}", 422),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status"), BODIES, ids=lambda part: repr(part)[:30])
def test_bad_body_is_422(client: TestClient, body: bytes, status: int) -> None:
    answer = client.post("/api/v1/links", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["detail"]


VALUES: list[Any] = [
    None, True, -1, 1.5, 10**6, 2**31 + 1, 2**63, 10**18, 1e308, "0", "x", "", "\x00", "😀", "a" * 10_000,
    [], [0], {}, {"a": 1},
]  # fmt: skip
FIELDS = (
    "run", "test", "train", "target", "against", "c", "train_class", "show", "map", "scale", "opacity", "rank",
    "page", "_",
)  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
def test_bad_field_is_refused(client: TestClient, field: str) -> None:
    for value in VALUES:
        answer = client.post("/api/v1/links", content=orjson.dumps({**GOOD, field: value}),
                             headers={"Content-Type": "application/json"})  # fmt: skip
        allowed = {404, 422} if value is not None or field not in LEFT_OUT else {201}
        assert answer.status_code in allowed, (field, value, answer.text)
        assert "Traceback" not in answer.text


LEFT_OUT = {"train", "target", "against", "c", "train_class"}
"""Fields for which null means that they are left out."""


def test_bad_form_is_refused(client: TestClient) -> None:
    for field, value in itertools.product(FIELDS, NUMBERS[::9]):
        body = f"run={RUN_ID}&test=0&{field}={encoded(value)}" if field not in GOOD else f"{field}={encoded(value)}"
        answer = client.post(
            "/api/v1/links", content=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
        )
        assert answer.status_code in {303, 404, 422}, (field, value, answer.text)


@pytest.mark.parametrize(
    "body", ["run=a&run=b&test=0", "&".join(f"a{n}=1" for n in range(200)), "%ff%fe=%ff", "=", "&"]
)
def test_malformed_form_is_422(client: TestClient, body: str) -> None:
    answer = client.post("/api/v1/links", content=body, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 422


@pytest.mark.parametrize(
    "media_type",
    ["", "text/plain", "multipart/form-data; boundary=x", "application/xml", "image/png", "*/*", "json", "\x01"],
)
def test_unknown_media_type_is_415(client: TestClient, media_type: str) -> None:
    headers = [(b"Content-Type", media_type.encode())]
    answer = client.post("/api/v1/links", content=orjson.dumps(GOOD), headers=headers)
    assert answer.status_code == 415
    assert answer.json()["status"] == 415


@pytest.mark.parametrize(
    "headers",
    [
        {"Accept": "x" * 5000}, {"Accept": "text/html;q=x,*/*;q="}, {"Accept": ",,;;,"}, {"Accept": "text/html;q=nan"},
        {"If-None-Match": "x" * 5000}, {"If-None-Match": "*"}, {"If-None-Match": ',,W/,"'}, {"Range": "bytes=5-1"},
        {"Host": ""}, {"Host": "a b"}, {"Host": '"><script>alert(1)</script>'}, {"Host": "evil.example:99999999"},
        {"X-Forwarded-Proto": "javascript"}, {"X-Forwarded-Host": "evil"}, {"HX-Request": "x"},
        {"HX-Target": "<script>"},
        {"Cookie": "a" * 3000}, {"Transfer-Encoding": "x"}, {"Accept-Encoding": "\x01"}, {"Sec-Fetch-Site": "x"},
    ],
    ids=lambda headers: repr(headers)[:40],
)  # fmt: skip
def test_bad_headers_are_answered_without_500(client: TestClient, headers: dict[str, str]) -> None:
    for path in ("/", f"/r/{RUN_ID}/test/0", f"/api/v1/runs/{RUN_ID}/test/0/explanation", "/nothing", "/healthz"):
        answer = client.get(path, headers=headers)
        assert answer.status_code < 500, path
        assert "<script>alert" not in answer.text
    made = client.post("/api/v1/links", json=GOOD, headers=headers)
    assert made.status_code in {201, 400, 422}
    assert "<script>" not in made.text


@pytest.mark.parametrize(
    ("method", "counted_as"),
    [("TRACE", "other"), ("CONNECT", "other"), ("PROPFIND", "other"), ("FOO", "other"), ("PATCH", "PATCH"),
     ("OPTIONS", "OPTIONS")],
)  # fmt: skip
def test_method_without_route_is_405_and_counted_by_known_names(
    make_client: MakeClient, method: str, counted_as: str
) -> None:
    client = make_client()
    for path in ("/", "/healthz", f"/api/v1/runs/{RUN_ID}/test/0/explanation", "/api/v1/links", "/static/x"):
        answer = client.request(method, path)
        assert answer.status_code == 405, path
        assert answer.headers["allow"]
    assert set(re.findall(r'method="(\w+)"', client.get("/metrics").text)) == {counted_as}
