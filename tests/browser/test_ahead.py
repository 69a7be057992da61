"""The next test image is fetched ahead, and a new page appears with its pictures decoded."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

PAINTED = "() => document.documentElement.dataset.maps === 'painted'"


def asked_for(page: Page) -> list[str]:
    """Return the list that fills with the paths of all requests of a page from now on."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(re.sub(r"^https?://[^/]+", "", request.url)))
    return asked


def of_image(asked: list[str], test: int) -> tuple[list[str], list[str]]:
    """Return the requests for a test image's page, and those for its heat-maps."""
    pages = [path for path in asked if re.match(rf"/r/digits/test/{test}(\?|$)", path)]
    return pages, [path for path in asked if re.search(rf"/relevance/[^/]+/{test}-", path)]


def test_next_image_is_fetched_ahead_once_and_used(page: Page) -> None:
    asked = asked_for(page)
    page.goto("/r/digits/test/14")
    page.wait_for_function(PAINTED)
    page.wait_for_timeout(200)
    page.wait_for_load_state("networkidle")
    pages, maps = of_image(asked, 15)
    assert len(pages) == 1
    assert len(maps) >= 9
    page.keyboard.press("ArrowRight")
    expect(page.locator("h1")).to_have_text("Test image 15")
    expect(page).to_have_url(re.compile("/test/15$"))
    page.wait_for_function(PAINTED)
    assert of_image(asked, 15) == (pages, maps)


def test_busy_device_gets_no_maps_ahead(page: Page) -> None:
    page.route("**/idle", lambda route: route.fulfill(json={"idle": False}))
    asked = asked_for(page)
    page.goto("/r/digits/test/14")
    page.wait_for_function(PAINTED)
    with page.expect_request("**/idle"):
        pass
    page.wait_for_timeout(1500)
    assert of_image(asked, 15)[1] == []
    page.keyboard.press("ArrowRight")
    expect(page.locator("h1")).to_have_text("Test image 15")
    page.wait_for_function(PAINTED)


def test_pictures_are_decoded_when_a_page_appears(page: Page) -> None:
    page.goto("/r/digits/test/14")
    page.wait_for_function(PAINTED)
    page.wait_for_load_state("networkidle")
    page.evaluate("""document.addEventListener("htmx:after:swap", () => {
      const images = [...document.querySelectorAll(".board img.base")];
      window.whole = images.length > 0 && images.every(image => image.complete && image.naturalWidth > 0);
    })""")
    page.keyboard.press("ArrowRight")
    expect(page.locator("h1")).to_have_text("Test image 15")
    assert page.evaluate("window.whole") is True
