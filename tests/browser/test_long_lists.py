"""Runs with many classes: a text field with proposals in place of a long list, with and without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Opener
from tests.browser.test_access import TAGS
from xda.web import rendering


@pytest.fixture(autouse=True)
def long_lists() -> Iterator[None]:
    """Lower the limit so that ten classes count as many; the tests' server runs in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendering, "MANY_OPTIONS", 5)
        rendering.environment.cache_clear()
        yield
    rendering.environment.cache_clear()


def test_class_field_finds_class_by_typing(page: Page) -> None:
    page.goto("/r/digits/test/14")
    why = page.get_by_label("why", exact=True)
    expect(why).to_have_value(re.compile("^4 · 4"))
    # the field's text is selected, so typing replaces it
    why.focus()
    page.keyboard.type("9 · 9")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/test/14\?target=9$"))
    expect(page.get_by_role("heading", name="Why 9?")).to_be_visible()
    expect(page.get_by_label("why", exact=True)).to_have_value(re.compile("^9 · 9"))
    page.get_by_label("and not", exact=True).focus()
    page.keyboard.type("4")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("heading", name="Why 9 and not 4?")).to_be_visible()
    # no request is left for later
    page.wait_for_timeout(1500)
    expect(page).to_have_url(re.compile(r"target=9&against=4$"))


def test_class_field_works_without_javascript(open_page: Opener) -> None:
    with open_page(java_script_enabled=False) as page:
        page.goto("/r/digits/test/14")
        page.get_by_label("why", exact=True).fill("9 · 9")
        page.get_by_role("button", name="Explain").click()
        expect(page.get_by_role("heading", name="Why 9?")).to_be_visible()


def test_class_field_filters_gallery(page: Page) -> None:
    page.goto("/r/digits")
    page.get_by_label("label", exact=True).fill("4")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/r/digits\?label=4$"))
    expect(page.get_by_role("heading", name="12 of 120 test images")).to_be_visible()


@pytest.mark.parametrize("path", ["/r/digits", "/r/digits/test/14", "/r/digits/test/14/compare"])
def test_axe_finds_nothing_with_class_field(open_page: Opener, path: str) -> None:
    with open_page(errors_allowed=True) as page:
        page.goto(path)
        found = Axe().run(page, options={"runOnly": {"type": "tag", "values": TAGS}})
        assert [
            f"{rule['id']}: {node['html']}" for rule in found.response["violations"] for node in rule["nodes"]
        ] == []
