"""Entity tags: what they depend on, and which ``If-None-Match`` they answer."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request

from xda.web.http.conditional import (
    IMMUTABLE,
    REVALIDATE,
    NotModifiedError,
    answer_not_modified,
    content_tag,
    fresh,
    run_tag,
)


def request(path: str = "/r/digits", query: str = "", held: str | None = None) -> Request:
    headers = [] if held is None else [(b"if-none-match", held.encode())]
    return Request({"type": "http", "path": path, "query_string": query.encode(), "headers": headers})


def test_run_tag_changes_with_digest_path_and_query() -> None:
    tags = [
        run_tag(request(), "a"),
        run_tag(request(), "b"),
        run_tag(request("/r/other"), "a"),
        run_tag(request(query="c=1"), "a"),
    ]
    assert len(set(tags)) == 4
    assert run_tag(request(), "a") == tags[0]


def test_content_tag_changes_with_the_bytes() -> None:
    assert content_tag(b"one") == content_tag(b"one") != content_tag(b"two")


@pytest.mark.parametrize("held", ['"x"', 'W/"x"', '"a", W/"x" ,"b"'])
def test_request_that_has_the_content_ends_with_304(held: str) -> None:
    with pytest.raises(NotModifiedError) as caught:
        fresh(request(held=held), '"x"', IMMUTABLE)
    answer = asyncio.run(answer_not_modified(request(), caught.value))
    assert (answer.status_code, answer.body) == (304, b"")
    assert (answer.headers["etag"], answer.headers["cache-control"]) == ('"x"', IMMUTABLE)


@pytest.mark.parametrize("held", ['"a"', "x", "", None])
def test_request_without_the_content_gets_its_caching_headers(held: str | None) -> None:
    assert fresh(request(held=held), '"x"') == {"ETag": '"x"', "Cache-Control": REVALIDATE}
