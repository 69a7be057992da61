"""The OpenAPI document: FastAPI's, with the errors and limits that apply to all routes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from xda.web.http.problems import PROBLEM_SCHEMA, documented

EVERYWHERE = (400, 405, 413, 414, 431, 500, 503)
"""Answers to any request: its host, method or size is refused, an error occurs, or the server is starting."""

PAGE_LENGTHS = ("limit", "show")
"""Parameters and fields whose largest value is the setting ``max_page``."""


def describe(app: FastAPI, max_page: int) -> dict[str, Any]:
    """Return the OpenAPI document of an application.

    Parameters
    ----------
    app : FastAPI
    max_page : int
        Its longest page.
    """
    schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schemas = schema.setdefault("components", {}).setdefault("schemas", {})
    # This application never sends FastAPI's own errors.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = PROBLEM_SCHEMA
    everywhere = {str(status): answer for status, answer in documented(*EVERYWHERE).items()}
    for path in schema["paths"].values():
        for operation in path.values():
            operation["responses"] = {**everywhere, **operation["responses"]}
    for name, value in _named(schema["paths"]):
        if name in PAGE_LENGTHS:
            value["maximum"] = max_page
    return schema


def _named(node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the schemas of all parameters and fields with their names."""
    if isinstance(node, dict):
        if "in" in node and "name" in node:
            yield node["name"], node["schema"]
        yield from node.get("properties", {}).items()
        for value in node.values():
            yield from _named(value)
    elif isinstance(node, list):
        for value in node:
            yield from _named(value)
