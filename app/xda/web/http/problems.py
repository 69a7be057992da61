"""Turns every error into an answer: RFC 9457 problem+json for programs, a page for people.

A *problem* says what happened and what to do, carries the request id, and never a traceback.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.client import responses
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from xda.errors import BusyError, XdaError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

MACHINE_PREFIXES = ("/api/", "/healthz", "/readyz", "/version", "/metrics", "/static/")
"""Paths for programs only: their errors are problem+json for any Accept header."""

DETAILS: Mapping[int, str] = {
    400: "The request could not be read.",
    404: "There is nothing at this address. Check it, or start again from the list of runs.",
    405: "This address does not take that method.",
    413: "The request body is larger than this server accepts.",
    414: "The address is longer than this server accepts.",
    431: "The request headers are larger than this server accepts.",
    500: "Something went wrong on the server. Its log holds the reason under the request id given here.",
}
"""Sentences for errors of the framework, which has none of its own."""

MAX_VALIDATION_ERRORS = 20
"""Bounds the answer to a body with a thousand wrong fields."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One error, described for the client."""

    status: int
    title: str
    detail: str
    type: str = "about:blank"
    """URI of the kind of problem; ``about:blank`` if the status is enough."""
    instance: str = ""
    """Path of the request."""
    request_id: str = ""
    errors: Sequence[Mapping[str, str]] = ()
    """Wrong fields of the request, each ``{"field", "detail"}``."""
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Encode as the body of an RFC 9457 answer."""
        body: dict[str, Any] = {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": self.instance,
            "request_id": self.request_id,
        }
        if self.errors:
            body["errors"] = self.errors
        return orjson.dumps(body)


ErrorPage = Callable[[Request, Problem], Response]
"""Renders a problem as an HTML page with the problem's status."""


def _phrase(status: int) -> str:
    return responses.get(status, "Error")


def _kind(error: XdaError) -> str:
    """``NotFoundError`` -> ``urn:xda:problem:not-found``."""
    name = type(error).__name__.removesuffix("Error")
    return "urn:xda:problem:" + "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-")


def _field(location: Sequence[Any]) -> str:
    """``("query", "limit")`` -> ``query.limit``, cut to a sane length, since it may contain a caller's key."""
    return ".".join(str(part) for part in location)[:100]


def _words(error: Mapping[str, Any]) -> str:
    """Describe a wrong value in plain words instead of the validator's."""
    limits = error.get("ctx") or {}
    match str(error.get("type", "")):
        case "int_parsing" | "int_type" | "int_from_float" | "int_parsing_size":
            return "must be a whole number"
        case "float_parsing" | "float_type" | "finite_number":
            return "must be a number such as 0.001"
        case "string_type":
            return "must be text"
        case "greater_than_equal" if "ge" in limits:
            return f"must be {limits['ge']:,} or more"
        case "greater_than" if "gt" in limits:
            return f"must be more than {limits['gt']:,}"
        case "less_than_equal" if "le" in limits:
            return f"must be {limits['le']:,} or less"
        case "literal_error" | "enum" if "expected" in limits:
            return f"must be {limits['expected']}"
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return "is not known here"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "must be a JSON object"
        case _:
            return str(error["msg"])[:300]


def _place(location: Sequence[Any]) -> str:
    """``("query", "limit")`` -> ```limit```; the whole body if no field is named."""
    name = _field(location[1:])
    return f"`{name}`" if name else "The body"


def _validation_problem(errors: Sequence[Any]) -> Problem:
    named = [{"field": _field(error["loc"]), "detail": _words(error)} for error in errors]
    status = 404 if any(error["loc"][:1] == ("path",) for error in errors) else 422
    more = f" (and {len(named) - 1} more)" if len(named) > 1 else ""
    detail = f"{_place(errors[0]['loc'])} {named[0]['detail']}{more}." if named else "A value cannot be used."
    if status == 404:
        return Problem(404, _phrase(404), f"No such address: {detail}", "urn:xda:problem:not-found", errors=named)
    return Problem(
        422,
        "The request cannot be answered as asked",
        detail,
        "urn:xda:problem:invalid-request",
        errors=named[:MAX_VALIDATION_ERRORS],
    )


def describe(error: Exception) -> Problem:
    """Describe an exception for the client.

    Parameters
    ----------
    error : Exception
        Any exception of a route or the framework; one without a message for people becomes a 500 without detail.
    """
    if isinstance(error, XdaError):
        headers = {"Retry-After": str(error.retry_after)} if isinstance(error, BusyError) else {}
        return Problem(error.status, error.title, str(error), _kind(error), headers=headers)
    if isinstance(error, RequestValidationError):
        return _validation_problem(error.errors())
    if isinstance(error, HTTPException):
        phrase = _phrase(error.status_code)
        told = error.detail if error.detail and error.detail != phrase else DETAILS.get(error.status_code, phrase)
        return Problem(error.status_code, phrase, str(told), headers=dict(error.headers or {}))
    return Problem(500, _phrase(500), DETAILS[500])


def _quality(accept: str, media_type: str) -> float:
    """Weight of exactly ``media_type`` in an Accept header, 0 if it is absent (wildcards do not count)."""
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if name == media_type:
            for parameter in parameters:
                if parameter.startswith("q="):
                    try:
                        return min(1.0, max(0.0, float(parameter[2:])))
                    except ValueError:
                        return 0.0
            return 1.0
    return 0.0


def wants_page(request: Request) -> bool:
    """Whether an error is shown as a page: the address is for people, and the client prefers HTML.

    htmx sends ``Accept: */*`` but inserts the answer into a page, so it counts as a person. The target of a form is for
    people at any address.
    """
    root = request.scope.get("root_path", "")
    path = request.scope["path"]
    if root and path.startswith(root):
        path = path[len(root) :]
    form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    if path.startswith(MACHINE_PREFIXES) and not form:
        return False
    if "hx-request" in request.headers:
        return True
    accept = request.headers.get("accept", "")
    html = max(_quality(accept, "text/html"), _quality(accept, "application/xhtml+xml"))
    return html > 0 and html >= max(_quality(accept, "application/json"), _quality(accept, MEDIA_TYPE))


def problem_response(request: Request, problem: Problem) -> Response:
    """Answer with a problem, as a page or as JSON.

    Parameters
    ----------
    request : Request
        The failed request; ``request.app.state.error_page`` renders pages.
    problem : Problem
        The problem; its ``instance`` and ``request_id`` are filled in here.
    """
    told = replace(problem, instance=request.scope["path"][:500], request_id=getattr(request.state, "request_id", ""))
    headers = {**told.headers, "Cache-Control": "no-store"}
    if wants_page(request):
        page: ErrorPage = request.app.state.error_page
        try:
            response = page(request, told)
        except Exception:
            # If the error page itself fails, a person gets the JSON, which says the same.
            logger.exception("the error page could not be drawn")
        else:
            response.status_code = told.status
            response.headers.update(headers)
            response.headers["Vary"] = "Accept"
            return response
    return Response(told.to_json(), told.status, headers, MEDIA_TYPE)


async def handle(request: Request, error: Exception) -> Response:
    """Turn an exception of a route into its answer (an exception handler of Starlette)."""
    return problem_response(request, describe(error))


def install(app: FastAPI) -> None:
    """Register handlers for all expected errors; the outermost middleware handles unexpected ones."""
    for kind in (XdaError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, handle)


PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "An error (RFC 9457).",
    "required": ["type", "title", "status", "detail", "instance", "request_id"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:xda:problem:not-found"]},
        "title": {"type": "string", "examples": ["Not found"]},
        "status": {"type": "integer", "examples": [404]},
        "detail": {"type": "string", "examples": ["Test image 10000 does not exist: this run has 0 to 9999."]},
        "instance": {"type": "string", "examples": ["/api/v1/runs/mnist-cnn/test/10000/explanation"]},
        "request_id": {"type": "string", "examples": ["9f86d081884c7d65"]},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the problems of a route, for its ``responses`` in OpenAPI.

    ``xda.web.http.openapi`` adds the problems of all routes.
    """
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": _phrase(status), "content": {MEDIA_TYPE: {"schema": schema}}} for status in statuses
    }
