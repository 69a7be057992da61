"""A route for answers that take microseconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi.routing import APIRoute
from starlette.routing import request_response


class DirectRoute(APIRoute):
    """Calls its endpoint with the request alone, as Starlette does; OpenAPI describes it like any other route.

    FastAPI resolves dependencies and opens two exit stacks for each request. That takes longer than looking up an
    explanation, so the route with thousands of requests a second skips it.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.app = request_response(endpoint)
