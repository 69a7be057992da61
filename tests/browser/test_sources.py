"""Sources of images: copied with mouse and keyboard, and selected whole without scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import opened
from tests.conftest import serve
from tests.photos import RUN_ID, make_photos
from xda.settings import Settings

ADDRESS = f"/r/{RUN_ID}/test/3/train/0"
SOURCES = ["test/blue/06.jpg", "train/blue/00.jpg"]
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def open_photos(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    folder = tmp_path_factory.mktemp("photos")
    for url in serve(Settings(home=folder, runs=str(make_photos(folder)), device="cpu", allow_factory="tests.photos")):
        yield partial(opened, chromium, url)


def test_source_is_copied_by_click_and_keyboard(open_photos: Open) -> None:
    with open_photos(permissions=["clipboard-read", "clipboard-write"]) as page:
        page.goto(ADDRESS)
        buttons = page.get_by_role("button", name="Copy where")
        expect(buttons).to_have_count(2)
        buttons.first.click()
        expect(buttons.first).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == SOURCES[0]
        buttons.last.focus()
        page.keyboard.press("Enter")
        expect(buttons.last).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == SOURCES[1]


def test_source_without_clipboard_is_selected(open_photos: Open) -> None:
    with open_photos() as page:
        page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
        page.goto(ADDRESS)
        page.get_by_role("button", name="Copy where").first.click()
        expect(page.locator("#announce")).to_have_text("Press Ctrl+C to copy")
        assert page.evaluate("getSelection().toString()") == SOURCES[0]


def test_source_without_scripts_is_selected_by_click(open_photos: Open) -> None:
    with open_photos(java_script_enabled=False) as page:
        page.goto(ADDRESS)
        expect(page.locator(".source code")).to_have_text(SOURCES)
        expect(page.locator(".source code").first).to_have_css("user-select", "all")
        expect(page.locator(".source .copy").first).to_be_hidden()
