"""Conditional requests: entity tags and the answer 304.

A run's answer depends only on the run's digest, the address and the version of this program. Only successful answers
carry a tag of these three, so a returned tag proves that the address is good: the server can answer 304 before any
computation.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from xda.version import __version__

REVALIDATE = "no-cache"
"""Store, but revalidate each time, since the run in the address may be rebuilt."""
IMMUTABLE = "public, max-age=31536000, immutable"
"""Store for a year without revalidation, since the address identifies the content."""

DOCUMENTED: dict[int | str, dict[str, Any]] = {
    304: {"description": "Not modified: what `If-None-Match` names by its entity tag still holds."}
}
"""The answer to a conditional request, for the ``responses`` of a route in OpenAPI."""


def run_tag(request: Request, digest: str) -> str:
    """Entity tag of a run's answer at this address.

    Parameters
    ----------
    request : Request
        The tag depends on its path (with prefix) and query.
    digest : str
        Digest of the run.
    """
    scope = request.scope
    key = f"{__version__} {digest} {scope['path']}?".encode() + scope["query_string"]
    return f'"{blake2b(key, digest_size=12).hexdigest()}"'


def content_tag(body: bytes) -> str:
    """Entity tag of bytes."""
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'


class NotModifiedError(Exception):
    """Ends a request with 304: the client's copy is still valid."""


def fresh(request: Request, tag: str, cache_control: str = REVALIDATE) -> dict[str, str]:
    """Return the caching headers of the answer with this tag.

    Raises
    ------
    NotModifiedError
        The client already has it (``If-None-Match``, weak comparison, RFC 9110 13.1.2).
    """
    headers = {"ETag": tag, "Cache-Control": cache_control}
    given = request.headers.get("if-none-match", "")
    if any(part.strip().removeprefix("W/") == tag for part in given.split(",")):
        raise NotModifiedError(headers)
    return headers


async def answer_not_modified(_: Request, error: Exception) -> Response:
    """Answer 304 (the exception handler of ``NotModifiedError``)."""
    return Response(status_code=304, headers=error.args[0])
