"""Heat-maps in the browser: they appear when ready, fade without a request, and show their raw values."""

from __future__ import annotations

import io
import re

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Opener
from tests.browser.test_journeys import first_pair, wait_for_maps
from tests.conftest import Served
from xda.present import colour
from xda.present.colour import Colours
from xda.present.signed_maps import pack


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


def test_button_hides_maps_while_held_and_switches_by_tap(open_page: Opener) -> None:
    with open_page(has_touch=True, viewport={"width": 390, "height": 844}) as page:
        page.goto("/r/digits/test/14")
        wait_for_maps(page)
        button, first = page.get_by_role("button", name="hide"), page.locator(".map").first
        button.tap()
        expect(first).to_be_hidden()
        expect(button).to_have_attribute("aria-pressed", "true")
        page.locator('a[rel="next"]').click()
        expect(page.locator("h1")).to_have_text("Test image 15")
        expect(first).to_be_hidden()
        expect(button).to_have_attribute("aria-pressed", "true")
        button.tap()
        expect(first).to_be_visible()
        button.scroll_into_view_if_needed()
        box = button.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 5, box["y"] + 5)
        page.mouse.down()
        expect(first).to_be_hidden()
        page.wait_for_timeout(500)
        page.mouse.up()
        expect(first).to_be_visible()
        expect(button).to_have_attribute("aria-pressed", "false")


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (2560, 1440), (390, 844)])
def test_pair_images_grow_with_the_window(open_page: Opener, width: int, height: int) -> None:
    with open_page(viewport={"width": width, "height": height}) as page:
        page.goto("/r/digits/test/14")
        page.goto(first_pair(page))
        wait_for_maps(page)
        for stack in page.locator(".stack.huge").all():
            box = stack.bounding_box()
            assert box is not None
            assert box["width"] >= 0.85 * min(0.46 * width, 0.76 * height)
            assert box["height"] <= 0.8 * height
            assert box["width"] == pytest.approx(box["height"], abs=1)


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
    box = probe.locator("canvas.map").bounding_box()
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


def test_probe_before_map_arrives_shows_value(page: Page) -> None:
    page.goto("/r/digits/test/14")
    address = first_pair(page)
    held: list[Route] = []
    page.route(re.compile(r"/relevance/.*\.i16"), lambda route: held.append(route))
    page.goto(address, wait_until="commit")
    box = page.locator("[data-probe][data-watched]").nth(1).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.52 * box["width"], box["y"] + 0.52 * box["height"])
    expect(page.locator("#train-value")).to_contain_text("column 14, row 14")
    assert held


def pixels(page: Page, selector: str) -> list[int]:
    """Return the RGBA values of a canvas."""
    found: list[int] = page.locator(selector).first.evaluate(
        "c => { const copy = new OffscreenCanvas(c.width, c.height).getContext('2d', { willReadFrequently: true });"
        " copy.drawImage(c, 0, 0); return [...copy.getImageData(0, 0, c.width, c.height).data] }"
    )
    return found


def listen(page: Page) -> list[str]:
    """Collect requests from now on; Chromium reads its cached icon again whenever the address changes."""
    requests: list[str] = []
    page.on("request", lambda request: None if "/icons/" in request.url else requests.append(request.url))
    return requests


def test_scale_and_colours_change_without_a_request(page: Page) -> None:
    page.goto("/r/digits/test/14")
    wait_for_maps(page)
    page.wait_for_load_state("networkidle")
    requests, weak = listen(page), ".support .tile:nth-child(4) canvas.map"
    history = page.evaluate("history.length")
    strongest, before = pixels(page, ".support canvas.map"), pixels(page, weak)
    assert max(before[3::4]) == 255
    page.get_by_role("link", name="one for all pairs").click()
    expect(page).to_have_url(re.compile(r"\?scale=page$"))
    expect(page.get_by_text("The maps of all pairs share one scale.")).to_be_visible()
    # the weaker map pales, and no map has more than full colour
    assert max(pixels(page, weak)[3::4]) < 255
    every = [
        max(pixels(page, f".board canvas.map >> nth={k}")[3::4]) for k in range(page.locator("canvas.map").count())
    ]
    assert max(every) == 255
    page.get_by_role("link", name="orange – purple").click()
    expect(page).to_have_url(re.compile(r"\?scale=page&map=orange-purple$"))
    expect(page.get_by_role("link", name="orange – purple")).to_have_attribute("aria-current", "true")
    page.get_by_role("link", name="each its own").click()
    expect(page).to_have_url(re.compile(r"\?map=orange-purple$"))
    expect(page.get_by_text("The maps of all pairs share one scale.")).to_be_hidden()
    assert pixels(page, ".support canvas.map") != strongest
    assert pixels(page, ".support canvas.map")[3::4] == strongest[3::4]
    page.get_by_role("link", name="red – blue").click()
    assert pixels(page, weak) == before
    assert requests == []
    assert page.evaluate("history.length") == history


def test_choice_of_display_is_carried_by_links_and_forms(page: Page) -> None:
    page.goto("/r/digits/test/14")
    page.get_by_role("link", name="orange – purple").click()
    page.get_by_role("link", name="one for all pairs").click()
    for selector in (".tile-link", 'a[rel="next"]', ".segments a#c-1", 'a[href*="explanation.png"]'):
        href = page.locator(selector).first.get_attribute("href") or ""
        assert "map=orange-purple" in href, selector
        assert "scale=page" in href, selector
    for form in ("form.ask", "form.share", "form.go"):
        assert page.locator(form).locator("input[name=map]").input_value() == "orange-purple"
    page.locator('a[rel="next"]').click()
    expect(page.locator("h1")).to_have_text("Test image 15")
    expect(page).to_have_url(re.compile("map=orange-purple.*scale=page|scale=page.*map=orange-purple"))
    page.get_by_role("link", name="red – blue").click()
    assert "map=" not in (page.locator(".tile-link").first.get_attribute("href") or "")


@pytest.mark.parametrize("colours", colour.COLOURS)
def test_browser_colours_are_those_of_the_server(page: Page, colours: Colours) -> None:
    page.goto("/r/digits")
    found = page.evaluate("async (c) => [...(await import('/static/js/colours.js')).levels(c)]", colours)
    assert found == colour.layer_palette(colours).ravel().tolist()
    relevance = np.random.default_rng(0).normal(size=(9, 7)).astype(np.float32)
    values = np.frombuffer(pack(relevance), "<i2", offset=8).tolist()
    for share in (1.0, 0.37, 0.0):
        shown = page.evaluate(
            "async ([v, s, c]) => [...(await import('/static/js/colours.js')).painted(Int16Array.from(v), s, c)]",
            [values, share, colours],
        )
        full = colour.full_scale(relevance)
        expected = colour.rgba(relevance, full / share if share else 0.0, colours, 100).ravel()
        # sixteen bits may fall on the other side of a step
        assert (np.array(shown) != expected).mean() < 0.02
        assert np.abs(np.array(shown)[3::4] - expected[3::4].astype(int)).max() <= 9


def test_page_without_scripts_shows_maps_in_server_colours(open_page: Opener) -> None:
    with open_page(java_script_enabled=False) as page:
        page.goto("/r/digits/test/14?map=orange-purple")
        page.wait_for_load_state("networkidle")
        first = page.locator(".support img.map").first
        assert "map=orange-purple" in (first.get_attribute("src") or "")
        expect(first).to_be_visible()
        expect(first).to_have_js_property("naturalWidth", 28)


def test_page_with_scripts_fetches_no_painted_layer(page: Page) -> None:
    requests = listen(page)
    page.goto("/r/digits/test/14")
    wait_for_maps(page)
    page.locator('a[rel="next"]').click()
    expect(page.locator("h1")).to_have_text("Test image 15")
    wait_for_maps(page)
    page.wait_for_load_state("networkidle")
    assert [url for url in requests if "/relevance/" in url and ".i16" not in url] == []


def test_black_of_a_digit_stays_black_under_its_map(open_page: Opener) -> None:
    for theme in ("light", "dark"):
        with open_page(color_scheme=theme) as page:
            page.goto("/r/digits/test/14")
            wait_for_maps(page)
            stack = page.locator(".stack.large")
            with Image.open(io.BytesIO(stack.screenshot())) as picture:
                corner = picture.convert("RGB").crop((3, 3, 6, 6))
            assert corner.getextrema() == ((0, 0),) * 3


def test_maps_in_memory_are_painted_at_once(page: Page) -> None:
    page.goto("/r/digits/test/14")
    wait_for_maps(page)
    page.locator('a[rel="next"]').click()
    expect(page.locator("h1")).to_have_text("Test image 15")
    wait_for_maps(page)
    requests = listen(page)
    page.locator('a[rel="prev"]').click()
    expect(page.locator("h1")).to_have_text("Test image 14")
    assert page.evaluate("document.documentElement.dataset.maps") == "painted"
    # the next image may be fetched ahead meanwhile
    assert [url for url in requests if "/relevance/" in url and "/14-" in url] == []
