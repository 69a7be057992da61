"""The look of every page: sizes of type, whole words, and a layout that does not jump."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Opener, opened
from tests.browser.test_access import PAGES

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
    (sizes[`${drawing ? "drawing" : "text"} ${Math.round(size * 100) / 100}`] ??= []).push(element.className || element.tagName);
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
