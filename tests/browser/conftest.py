"""A real Chromium; a test fails if its page logs an error, breaks the policy or requests another server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from tests.conftest import Served

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
Opener = Callable[..., Any]


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        executable = os.environ.get("CHROMIUM") or "/usr/bin/chromium"
        # without a system Chromium, Playwright's own
        path = executable if Path(executable).exists() else None
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, base: str, *, errors_allowed: bool = False, **options: Any) -> Iterator[Page]:
    """Open a page; afterwards fail if it logged an error or requested another server."""
    complaints: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(f"{message.type}: {message.text}")

    def asked(request: Request) -> None:
        if not request.url.startswith((base, "data:", "blob:")):
            complaints.append(f"request to {request.url}")

    context = browser.new_context(base_url=base, **{"viewport": {"width": 1440, "height": 900}, **options})
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.on("console", heard)
    page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
    page.on("request", asked)
    try:
        yield page
        if not errors_allowed:
            assert complaints == []
    finally:
        context.close()


@pytest.fixture
def open_page(chromium: Browser, served_world: Served) -> Opener:
    """Open a page on the served world; see ``opened``."""
    return lambda **options: opened(chromium, served_world.url, **options)


@pytest.fixture
def page(chromium: Browser, served_world: Served) -> Iterator[Page]:
    with opened(chromium, served_world.url) as each:
        yield each
