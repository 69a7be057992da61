"""Templates to responses: the Jinja2 environment, the ``HX-*`` headers, whole page or fragment.

A plain request gets the whole page. For htmx, which replaces only ``#page``, the same template is rendered without the
surroundings of that element. No other module reads or writes ``HX-*``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from xda import numerals
from xda.settings import resource_dir
from xda.web.urls import Urls
from xda.web.view import OFFERED

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MANY_OPTIONS = 60
"""Lists with more options become a text field with proposals instead of a select."""
VARY = "HX-Request, HX-History-Restore-Request, HX-Target"
"""Request headers that choose between page and fragment."""


def wants_fragment(request: Request) -> bool:
    """Whether htmx sent the request and replaces ``#page`` alone."""
    return request.headers.get("HX-Request") == "true" and request.headers.get("HX-Target") == "div#page"


def longest_word(names: Iterable[str]) -> int:
    """Return the letters of the longest word in names, the room that a line must have so that no word is broken."""
    return max((len(word) for name in names for word in name.split()), default=0)


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the template environment: it always escapes, and unknown names are errors."""
    env = Environment(
        loader=FileSystemLoader(resource_dir("frontend")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=200,
    )
    env.filters.update(
        number=numerals.number,
        signed=numerals.signed,
        count=numerals.count,
        percent=numerals.percent,
        parameter=numerals.parameter,
        longest_word=longest_word,
    )
    env.globals.update(many_options=MANY_OPTIONS, offered=OFFERED)
    return env


def urls_of(request: Request) -> Urls:
    """Return the URLs under the request's path prefix."""
    root = request.scope.get("root_path", "")
    return Urls(str(root).rstrip("/"))


def render(request: Request, template: str, context: DataclassInstance, *, status: int = 200) -> HTMLResponse:
    """Render a template from its context.

    Parameters
    ----------
    request : Request
    template : str
        Name under ``frontend/``.
    context : dataclass instance
        Its fields are the template's variables; beside them there are ``urls`` and ``fragment``.
    status : int

    Returns
    -------
    HTMLResponse
        With ``Vary``, and to be revalidated, since the run of a page may be replaced.
    """
    variables: dict[str, Any] = {field.name: getattr(context, field.name) for field in fields(context)}
    variables |= {"urls": urls_of(request), "fragment": wants_fragment(request)}
    body = environment().get_template(template).render(variables)
    return HTMLResponse(body, status_code=status, headers={"Cache-Control": "no-cache", "Vary": VARY})
