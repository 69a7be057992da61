"""Pure ASGI middlewares; each takes microseconds, since every request passes through all.

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
    # With `no-referrer` browsers would send `Origin: null` even for the forms of our own pages.
    (b"referrer-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)

MAX_TARGET = 8_192
"""Largest size of path and query together, in bytes."""
MAX_HEADERS = 32_768
"""Largest size of all request headers together, in bytes."""

PROBES = frozenset({"/healthz", "/readyz"})
"""Machines request these routes every few seconds; a log line for each would bury the others."""

CLIENT_GONE = 499
"""nginx's status for a client that disconnected, in log and metrics."""
MAX_KNOWN_HOSTS = 256
"""So many accepted Host headers are cached."""

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
    """Return the template of the answering route; its first folder if it has none (static files, the schema)."""
    template = getattr(scope.get("route"), "path", None)
    if template is not None:
        return str(template)
    if status >= 400:
        return "unmatched"  # An invented path must not become a label.
    path = scope["path"].removeprefix(scope.get("app_root_path", scope.get("root_path", "")))
    return "/" + path.split("/")[1] if "/" in path else "unmatched"


def _relative(headers: Iterable[tuple[bytes, bytes]], host: bytes) -> list[tuple[bytes, bytes]]:
    """Remove the server's own name from a redirect, since a proxy may use another name."""
    relative = []
    for name, value in headers:
        if name == b"location" and host:
            scheme, own, rest = value.partition(b"://" + host)
            if own and scheme in (b"http", b"https") and rest[:1] == b"/":
                value = b"/" + rest.lstrip(b"/")
        relative.append((name, value))
    return relative


class RequestMiddleware:
    """Gives a request its id, logs and counts it, adds the security headers, and answers uncaught errors.

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
            scope = {**scope, "method": "GET"}  # A copy, since the server must still know that no body follows.
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
                seconds = perf_counter() - started  # Now, since background tasks run after the answer.

        try:
            await self.app(scope, receive, send_with_headers)
        except asyncio.CancelledError:
            status = status or CLIENT_GONE
            raise
        except ClientDisconnect:
            # The client disconnected; that is no error of the server.
            status = CLIENT_GONE
            logger.debug("%s %s: the client went away", method, path)
        except Exception as error:
            logger.exception("%s %s failed", method, path)
            if status:
                raise  # Half an answer is sent; only a cut connection tells the client that it is incomplete.
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
    """Refuses too large addresses, headers and bodies; it counts a body as it streams in."""

    def __init__(self, app: ASGIApp, max_body: int) -> None:
        self.app = app
        self.max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or answer 413, 414 or 431."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if error := self._refusal(scope):
            # Close the connection, since the rest of the body will not be read.
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

    The prefix is the setting ``root_path``; if that is empty, a sane ``X-Forwarded-Prefix`` header. Afterwards
    ``root_path`` and ``path`` follow the ASGI specification: the path includes the prefix.
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
    """Answers only requests for the server's own names, so that no other site can pose as this one.

    Otherwise another site could point its name at this machine (DNS rebinding) and read everything. Starlette's
    middleware compares the names; a refusal looks like every other error.
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
            # Static files are the same for everybody, and the page of a refusal needs them.
            await self.app(scope, receive, send)
            return
        given = [value for name, value in scope["headers"] if name == b"host"]
        if len(given) == 1 and given[0] not in self._known:
            # The guard passes requests with known names; its own refusal is discarded.
            await self._guard(scope, receive, _say_nothing)
        if len(given) == 1 and given[0] in self._known:
            await self.app(scope, receive, send)
            return
        name = _NAME.fullmatch(given[0].decode("latin-1")) if len(given) == 1 else None
        told = f"does not answer to the name '{name[1]}'" if name else "needs a valid host name in the request"
        detail = (
            f"This server {told}. Use one of its own names, or ask its operator to add another to XDA_ALLOWED_HOSTS."
        )
        await problem_response(Request(scope, receive), describe(HTTPException(400, detail)))(scope, receive, send)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self._known) >= MAX_KNOWN_HOSTS:
            self._known.clear()  # Any port may come, and with a pattern any name.
        self._known.add(_header(scope, b"host") or b"")


async def _say_nothing(message: Message) -> None:
    """Discard a message of an answer."""
