"""Heat-maps in the browser: they appear when ready, fade without a request, and show their raw values."""

from __future__ import annotations

import io
import re

import httpx
import numpy as np
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Opener
from tests.browser.test_journeys import first_pair, wait_for_maps
from tests.conftest import Served


def test_busy_heatmap_is_requested_again(open_page: Opener) -> None:
    refused: list[str] = []

    def busy_once(route: Route) -> None:
        if route.request.url in refused:
            route.continue_()
        else:
            refused.append(route.request.url)
            route.fulfill(status=503, headers={"Retry-After": "1"}, body="")

    with open_page(errors_allowed=True) as page:
        page.route("**/relevance/**", busy_once)
        page.goto("/r/digits/test/23")
        wait_for_maps(page)
        assert len(refused) >= 9
        assert page.locator(".waiting").count() == 0


def test_opacity_change_needs_no_request_and_is_in_address(page: Page) -> None:
    page.goto("/r/digits/test/14")
    wait_for_maps(page)
    page.wait_for_load_state("networkidle")
    before = page.evaluate("history.length")
    requests: list[str] = []
    # Chromium reads its cached icon again whenever the address changes
    page.on("request", lambda request: None if "/icons/" in request.url else requests.append(request.url))
    slider = page.get_by_label("Opacity of the heat-maps in percent")
    slider.fill("40")
    expect(page).to_have_url(re.compile(r"opacity=40$"))
    assert page.locator(".map").first.evaluate("i => getComputedStyle(i).opacity") == "0.4"
    assert requests == []
    assert page.evaluate("history.length") == before
    page.locator(".tile-link").first.click()
    expect(page).to_have_url(re.compile("opacity=40"))
    page.reload()
    assert page.locator(".map").first.evaluate("i => getComputedStyle(i).opacity") == "0.4"


def test_holding_a_key_hides_the_maps(page: Page) -> None:
    page.goto("/r/digits/test/14")
    page.keyboard.down("h")
    expect(page.locator(".map").first).to_be_hidden()
    page.keyboard.up("h")
    expect(page.locator(".map").first).to_be_visible()


def test_probe_shows_raw_value(page: Page, served_world: Served) -> None:
    page.goto("/r/digits/test/14")
    page.goto(first_pair(page))
    wait_for_maps(page)
    href = page.get_by_role("link", name="Raw values (.npz)").get_attribute("href")
    answer = httpx.get(f"{served_world.url}{href}", timeout=30)
    with np.load(io.BytesIO(answer.content)) as arrays:
        relevance = arrays["train"]
    row, column = np.unravel_index(np.abs(relevance).argmax(), relevance.shape)
    probe = page.locator("[data-probe]").nth(1)
    box = probe.locator("img.map").bounding_box()
    assert box is not None
    x = box["x"] + (column + 0.5) / relevance.shape[1] * box["width"]
    y = box["y"] + (row + 0.5) / relevance.shape[0] * box["height"]
    page.mouse.move(x, y)
    told = page.locator("#train-value")
    expect(told).to_contain_text(f"column {column}, row {row}")
    value = float(told.inner_text().split()[0].replace("\N{MINUS SIGN}", "-"))
    assert value == float(f"{relevance[row, column]:.3g}")
    probe.focus()
    page.keyboard.press("ArrowRight")
    expect(told).to_contain_text(f"column {min(column + 1, 27)}, row {row}")


def test_touch_shows_raw_value(open_page: Opener) -> None:
    with open_page(has_touch=True, viewport={"width": 390, "height": 844}) as page:
        page.goto("/r/digits/test/14")
        page.goto(first_pair(page))
        wait_for_maps(page)
        page.locator("[data-probe]").first.tap()
        expect(page.locator("#test-value")).to_contain_text(re.compile(r"column \d+, row \d+"))


def test_probe_before_map_arrives_shows_value_later(page: Page) -> None:
    page.goto("/r/digits/test/14")
    address = first_pair(page)
    held: list[Route] = []
    page.route(re.compile(r"/relevance/.*\.png"), lambda route: held.append(route))
    page.goto(address, wait_until="commit")
    box = page.locator("[data-probe][data-watched]").nth(1).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.52 * box["width"], box["y"] + 0.52 * box["height"])
    expect(page.locator("#train-value")).to_contain_text("Point at a pixel")
    assert held
    for route in held:
        route.continue_()
    expect(page.locator("#train-value")).to_contain_text("column 14, row 14")


def test_scale_and_colours_change_pictures(page: Page) -> None:
    page.goto("/r/digits/test/14")
    wait_for_maps(page)
    first = page.locator(".support .map").last.get_attribute("src")
    page.get_by_role("link", name="one for all pairs").click()
    expect(page).to_have_url(re.compile("scale=page"))
    wait_for_maps(page)
    assert page.locator(".support .map").last.get_attribute("src") != first
    page.get_by_role("link", name="orange – purple").click()
    expect(page).to_have_url(re.compile("map=orange-purple"))
    wait_for_maps(page)
