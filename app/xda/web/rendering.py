"""Templates to responses: the Jinja2 environment, the ``HX-*`` headers, whole page or fragment.

A page is rendered whole on a plain request. When htmx asks for it (it replaces ``#page`` and nothing else) the same
template is rendered without what stands around that element. This is the only module that reads or writes ``HX-*``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
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
"""A list of more options is a text field with proposals instead of a select."""
VARY = "HX-Request, HX-History-Restore-Request, HX-Target"
"""Request headers that choose between page and fragment."""


@dataclass(frozen=True, slots=True)
class HtmxRequest:
    """What htmx says about a request."""

    asked: bool
    """Sent by htmx rather than by the browser itself."""
    restoring: bool
    """Sent because the back or forward button was used."""
    target: str
    """Element to be replaced, as ``tag#id``."""

    @classmethod
    def of(cls, request: Request) -> HtmxRequest:
        """Read the headers."""
        headers = request.headers
        return cls(
            asked=headers.get("HX-Request") == "true",
            restoring=headers.get("HX-History-Restore-Request") == "true",
            target=headers.get("HX-Target", ""),
        )

    @property
    def wants_fragment(self) -> bool:
        """Whether ``#page`` alone will do."""
        return self.asked and self.target == "div#page"


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the template environment: escaping always, an unknown name is an error."""
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
    )
    env.globals.update(many_options=MANY_OPTIONS, offered=OFFERED)
    return env


def urls_of(request: Request) -> Urls:
    """Return the addresses under the request's path prefix."""
    root = request.scope.get("root_path", "")
    return Urls(str(root).rstrip("/"))


def render(
    request: Request,
    template: str,
    context: DataclassInstance,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> HTMLResponse:
    """Render a template from its context.

    Parameters
    ----------
    request : Request
    template : str
        Name under ``frontend/``.
    context : dataclass instance
        Its fields are the template's variables; beside them there are ``urls`` and ``fragment``.
    status : int
    headers : dict, optional

    Returns
    -------
    HTMLResponse
        With ``Vary``, and not to be stored without asking again: pages follow the run, which may be replaced.
    """
    variables: dict[str, Any] = {field.name: getattr(context, field.name) for field in fields(context)}
    htmx = HtmxRequest.of(request)
    body = environment().get_template(template).render(**variables, urls=urls_of(request), fragment=htmx.wants_fragment)
    response = HTMLResponse(body, status_code=status, headers={"Cache-Control": "no-cache", "Vary": VARY})
    response.headers.update(headers or {})
    return response
