"""The look of every page: sizes of type, whole words, and a layout that does not jump."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urljoin

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Opener, opened
from tests.browser.test_access import PAGES, shared
from tests.browser.test_long_names import renamed
from tests.conftest import Served, serve
from tests.world import World
from xda.settings import Settings

__all__ = ["shared"]

TYPE_SIZES = """() => {
  const sizes = {};
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || element.closest("script, option, datalist, title")) continue;
    // formulas set their indices smaller
    if (element.closest("math")) continue;
    if (!element.checkVisibility({visibilityProperty: true})) continue;
    let size = parseFloat(getComputedStyle(element).fontSize);
    const drawing = element instanceof SVGElement;
    if (drawing) size *= element.getScreenCTM().a;
    const key = `${drawing ? "drawing" : "text"} ${Math.round(size * 100) / 100}`;
    (sizes[key] ??= []).push(element.className || element.tagName);
  }
  return sizes;
}"""
SIZES = {13, 14, 15, 17, 20, 24}


@pytest.mark.parametrize("width", [390, 1440])
def test_type_on_every_page_has_six_sizes(open_page: Opener, width: int) -> None:
    with open_page(errors_allowed=True, viewport={"width": width, "height": 900}) as page:
        for name, path in PAGES.items():
            page.goto(path)
            for size, elements in page.evaluate(TYPE_SIZES).items():
                kind, pixels = size.split()
                assert float(pixels) >= 13, (name, size, elements)
                assert kind == "drawing" or float(pixels) in SIZES, (name, size, elements)


BROKEN_WORDS = """() => {
  const broken = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    const element = text.parentElement;
    if (element.closest("script, option, datalist, title, code, math, .visually-hidden")) continue;
    if (!element.checkVisibility({visibilityProperty: true})) continue;
    const upright = getComputedStyle(element).writingMode !== "horizontal-tb";
    for (const word of text.data.matchAll(/[\\p{L}\\p{N}]{2,}/gu)) {
      const range = document.createRange();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      const lines = new Set([...range.getClientRects()].map(box => Math.round(upright ? box.left : box.top)));
      if (lines.size > 1) broken.push(`${word[0]} in ${element.className || element.tagName}`);
    }
  }
  return broken;
}"""
NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "motorcycle", "ship", "outwear")
NAMED_PAGES = (
    "/",
    "/r/named",
    "/r/named?correct=false",
    "/r/named/test/14",
    "/r/named/test/14?against=1&show=12&train_class=4",
    "/r/named/test/14/compare?c=1e-4&with=named&with_c=1e-2",
    "/r/named/test/14/train/0",
    "/r/named/train/4",
)


@pytest.fixture(scope="module")
def named(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the world with the names of photographs' classes."""
    folder = tmp_path_factory.mktemp("named")
    run = renamed(world.run, folder / "named", "named", "Photographs", NAMES)
    yield from serve(Settings(home=folder, runs=str(run), device="cpu"))


@pytest.mark.parametrize("width", [390, 412, 768, 1200, 1440, 2560])
def test_words_on_every_page_are_not_broken(chromium: Browser, named: str, width: int) -> None:
    with opened(chromium, named, errors_allowed=True, viewport={"width": width, "height": 900}) as page:
        for path in NAMED_PAGES:
            page.goto(path)
            assert page.evaluate(BROKEN_WORDS) == [], path


def test_every_page_has_a_description(served_world: Served, shared: str) -> None:
    for path in (*PAGES.values(), shared):
        text = httpx.get(urljoin(served_world.url, path), headers={"Accept": "text/html"}, timeout=30).text
        found = re.search(r'<meta name="description" content="([^"]{20,300})">', text)
        assert found, path


SHIFTS = """
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.shifted = (window.shifted ?? 0) + entry.value;
}).observe({type: "layout-shift", buffered: true});
"""


@pytest.mark.parametrize("width", [390, 412, 768, 1440])
def test_layout_of_every_page_does_not_jump(open_page: Opener, width: int) -> None:
    with open_page(errors_allowed=True, viewport={"width": width, "height": 900}) as page:
        page.add_init_script(SHIFTS)
        for name, path in PAGES.items():
            page.goto(path)
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(100)
            assert page.evaluate("window.shifted ?? 0") < 0.02, name


@pytest.mark.parametrize("path", ["/r/digits", "/r/digits/test/14", "/r/digits/test/14?target=9"])
def test_header_on_phone_is_one_row(open_page: Opener, path: str) -> None:
    with open_page(viewport={"width": 390, "height": 844}) as page:
        page.goto(path)
        header = page.locator("header.bar").bounding_box()
        assert header is not None
        assert header["height"] < 52
        page.get_by_role("button", name="Menu").click()
        expect(page.get_by_label("go to #")).to_be_visible()
        page.get_by_role("link", name="Help", exact=True).click()
        expect(page).to_have_url(re.compile("/help$"))


def test_first_training_image_on_phone_is_on_first_screen(open_page: Opener) -> None:
    with open_page(viewport={"width": 390, "height": 844}) as page:
        page.goto("/r/digits/test/14")
        box = page.locator(".tile .stack").first.bounding_box()
        assert box is not None
        assert box["y"] <= 560


def test_test_image_stays_in_sight_while_many_are_shown(page: Page) -> None:
    page.goto("/r/digits/test/14?c=0.0001&show=96")
    page.locator(".support .tile").last.scroll_into_view_if_needed()
    expect(page.locator(".centre .stack").first).to_be_in_viewport(ratio=1)
