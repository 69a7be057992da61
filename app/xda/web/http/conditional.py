"""Conditional requests: entity tags, and when an answer may be left out.

What a run answers depends on the run's digest, the address and this program's version only. A tag of these three is
handed out with successful answers alone, so one that comes back proves that the address is good: 304 can be said before
anything is computed.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from xda.version import __version__

REVALIDATE = "no-cache"
"""Keep it, but ask each time whether it still holds (the address names a run, which may be rebuilt)."""
IMMUTABLE = "public, max-age=31536000, immutable"
"""Keep it for a year without asking (the address names the content)."""

DOCUMENTED: dict[int | str, dict[str, Any]] = {
    304: {"description": "Not modified: what `If-None-Match` names by its entity tag still holds."}
}
"""The answer to a conditional request, for the ``responses`` of a route in OpenAPI."""


def run_tag(request: Request, digest: str) -> str:
    """Entity tag of what a run answers at this address.

    Parameters
    ----------
    request : Request
        The request; path (with its prefix) and query count.
    digest : str
        Digest of the run.
    """
    scope = request.scope
    key = f"{__version__} {digest} {scope['path']}?".encode() + scope["query_string"]
    return f'"{blake2b(key, digest_size=12).hexdigest()}"'


def content_tag(body: bytes) -> str:
    """Entity tag of these very bytes."""
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'


def matches(request: Request, tag: str) -> bool:
    """Whether the client already has what ``tag`` stands for (``If-None-Match``, weak comparison, RFC 9110 13.1.2)."""
    given = request.headers.get("if-none-match")
    if given is None:
        return False
    return any(part.strip().removeprefix("W/") == tag for part in given.split(","))


def not_modified(tag: str, cache_control: str = REVALIDATE) -> Response:
    """304: the client's copy still holds."""
    return Response(status_code=304, headers={"ETag": tag, "Cache-Control": cache_control})
