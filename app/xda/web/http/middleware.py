"""Pure ASGI middlewares; each costs microseconds, since each is paid for by every request.

From the outside in: ``RequestMiddleware`` (id, log line, metrics, security headers, the answer to unexpected errors),
``LimitsMiddleware`` (sizes), ``PrefixMiddleware`` (path prefix of a proxy), ``HostsMiddleware`` (names of the server).
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Iterable, Sequence
from time import perf_counter

from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xda.web.http.logging import log_request, request_id
from xda.web.http.metrics import Metrics
from xda.web.http.problems import describe, problem_response

logger = logging.getLogger(__name__)

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "manifest-src 'self'",
    )
)

SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    # Not `no-referrer`: with it browsers send `Origin: null` for the forms of our own pages too.
    (b"referrer-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)

MAX_TARGET = 8_192
"""Longest path and query together, in bytes."""
MAX_HEADERS = 32_768
"""Largest request headers together, in bytes."""

PROBES = frozenset({"/healthz", "/readyz"})
"""Routes that machines ask every few seconds for ever; a line in the log for each would bury the others."""

CLIENT_GONE = 499
"""nginx's number for a client that went away, in log and metrics."""
MAX_KNOWN_HOSTS = 256
"""Host headers that are remembered as good."""

_NAME = re.compile(r"([A-Za-z0-9._-]{1,100}|\[[0-9A-Fa-f:.]{2,50}\])(:[0-9]*)?")
_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_SANE_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+){1,10}")
_BODYLESS = frozenset({"GET", "HEAD", "OPTIONS"})


def _header(scope: Scope, name: bytes) -> bytes | None:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


def _route(scope: Scope, status: int) -> str:
    """Return the template of the route that answered; of what has none (static files, the schema) its first folder."""
    template = getattr(scope.get("route"), "path", None)
    if template is not None:
        return str(template)
    if status >= 400:
        return "unmatched"  # whatever people make up must not become a label
    path = scope["path"].removeprefix(scope.get("app_root_path", scope.get("root_path", "")))
    return "/" + path.split("/")[1] if "/" in path else "unmatched"


def _relative(headers: Iterable[tuple[bytes, bytes]], host: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers of a redirect, the server's own name left out: a proxy may know it by another."""
    relative = []
    for name, value in headers:
        if name == b"location" and host:
            scheme, own, rest = value.partition(b"://" + host)
            if own and scheme in (b"http", b"https") and rest[:1] == b"/":
                value = b"/" + rest.lstrip(b"/")
        relative.append((name, value))
    return relative


class RequestMiddleware:
    """Gives a request its id, logs and counts it, adds the security headers, and answers what nobody caught.

    HEAD is answered as GET without its body, for every route.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = perf_counter()
        given = _header(scope, b"x-request-id")
        raw_id = given if given is not None and _SANE_ID.fullmatch(given) else secrets.token_hex(8).encode()
        identifier = raw_id.decode()
        scope.setdefault("state", {})["request_id"] = identifier
        token = request_id.set(identifier)
        method, path = scope["method"], scope["path"]
        headless = method == "HEAD"
        if headless:
            scope = {**scope, "method": "GET"}  # a copy: the server must still know that no body follows
        status, seconds = 0, 0.0

        async def send_with_headers(message: Message) -> None:
            nonlocal status, seconds
            if message["type"] == "http.response.start":
                status = message["status"]
                if 300 <= status < 400:
                    message["headers"] = _relative(message["headers"], _header(scope, b"host") or b"")
                message["headers"] = [*message["headers"], *SECURITY_HEADERS, (b"x-request-id", raw_id)]
            elif headless and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                seconds = perf_counter() - started  # not later: background tasks follow the answer

        try:
            await self.app(scope, receive, send_with_headers)
        except asyncio.CancelledError:
            status = status or CLIENT_GONE
            raise
        except ClientDisconnect:
            # Nobody is left to answer, and nothing went wrong here.
            status = CLIENT_GONE
            logger.debug("%s %s: the client went away", method, path)
        except Exception as error:
            logger.exception("%s %s failed", method, path)
            if status:
                raise  # half an answer is out: only cutting the connection tells the client that it is not whole
            response = problem_response(Request(scope, receive), describe(error))
            await response(scope, receive, send_with_headers)
        finally:
            seconds = seconds or perf_counter() - started
            route = _route(scope, status)
            self.metrics.observe(method, route, status, seconds)
            client = scope.get("client")
            log_request(
                {
                    "request_id": identifier,
                    "method": method,
                    "path": path,
                    "query": scope["query_string"].decode("latin-1"),
                    "route": route,
                    "status": status,
                    "ms": round(seconds * 1000, 3),
                    "client": client[0] if client else "",
                },
                logging.DEBUG if route in PROBES else logging.INFO,
            )
            request_id.reset(token)


class LimitsMiddleware:
    """Refuses requests whose address, headers or body are too large; a body is counted as it streams in."""

    def __init__(self, app: ASGIApp, max_body: int) -> None:
        self.app = app
        self.max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or answer 413, 414 or 431."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if error := self._refusal(scope):
            # The connection is closed, since what is left of the body will not be read.
            response = problem_response(Request(scope, receive), describe(error))
            response.headers["Connection"] = "close"
            await response(scope, receive, send)
            return
        if scope["method"] in _BODYLESS:
            await self.app(scope, receive, send)
            return
        size = 0

        async def receive_counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self.max_body:
                raise self._too_large()
            return message

        await self.app(scope, receive_counted, send)

    def _too_large(self) -> HTTPException:
        return HTTPException(
            413,
            f"The request body is larger than the {self.max_body:,} bytes this server accepts.",
            {"Connection": "close"},
        )

    def _refusal(self, scope: Scope) -> HTTPException | None:
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_TARGET:
            return HTTPException(414, f"The address is longer than the {MAX_TARGET:,} bytes this server accepts.")
        total, length = 0, b""
        for name, value in scope["headers"]:
            total += len(name) + len(value)
            if name == b"content-length":
                length = value
        if total > MAX_HEADERS:
            return HTTPException(431, f"The headers are larger than the {MAX_HEADERS:,} bytes this server accepts.")
        if length and (not length.isdigit() or len(length) > 18 or int(length) > self.max_body):
            return self._too_large()
        return None


class PrefixMiddleware:
    """Serves under the path prefix of a proxy, whether the proxy strips the prefix or not.

    The prefix is the setting ``root_path``; where that is empty, a sane ``X-Forwarded-Prefix`` header. Afterwards
    ``root_path`` and ``path`` are as the ASGI specification has them: the path includes the prefix.
    """

    def __init__(self, app: ASGIApp, root_path: str = "") -> None:
        self.app = app
        stripped = root_path.strip("/")
        self.root_path = f"/{stripped}" if stripped else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on with its prefix."""
        if scope["type"] == "http":
            prefix = self.root_path or self._forwarded(scope)
            if prefix:
                path = scope["path"]
                scope["root_path"] = prefix
                if path != prefix and not path.startswith(prefix + "/"):
                    scope["path"] = prefix + path
                    if scope.get("raw_path"):
                        scope["raw_path"] = prefix.encode() + scope["raw_path"]
        await self.app(scope, receive, send)

    @staticmethod
    def _forwarded(scope: Scope) -> str:
        value = (_header(scope, b"x-forwarded-prefix") or b"").decode("latin-1").rstrip("/")
        return value if _SANE_PREFIX.fullmatch(value) and ".." not in value else ""


class HostsMiddleware:
    """Answers only to names that the server is known by, so that no other site can pass itself off as this one.

    Otherwise a page of another site whose name is pointed at this machine (DNS rebinding) could read all of it.
    Starlette's middleware knows what a name is; the refusal is told as every error is.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self.app = app
        self._guard = TrustedHostMiddleware(self._let_in, list(hosts), www_redirect=False)
        self._known: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or answer 400."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["path"].removeprefix(scope.get("root_path", "")).startswith("/static/"):
            # Of which there is one for everybody, and without which the page of a refusal would be bare.
            await self.app(scope, receive, send)
            return
        given = [value for name, value in scope["headers"] if name == b"host"]
        if len(given) == 1 and given[0] not in self._known:
            # The guard lets in what it knows, and has nothing to say about the rest.
            await self._guard(scope, receive, _say_nothing)
        if len(given) == 1 and given[0] in self._known:
            await self.app(scope, receive, send)
            return
        name = _NAME.fullmatch(given[0].decode("latin-1")) if len(given) == 1 else None
        told = f"does not answer to the name '{name[1]}'" if name else "is asked by no name, or by what is none"
        detail = (
            f"This server {told}. Use one of its own names, "
            "or let the one who runs it add another to XDA_ALLOWED_HOSTS."
        )
        await problem_response(Request(scope, receive), describe(HTTPException(400, detail)))(scope, receive, send)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self._known) >= MAX_KNOWN_HOSTS:
            self._known.clear()  # any port and, by a pattern, any name may come
        self._known.add(_header(scope, b"host") or b"")


async def _say_nothing(message: Message) -> None:
    """Take an answer that nobody gets."""
