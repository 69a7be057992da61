"""Access for everybody: keyboard, small screens, both themes, no serious accessibility violation on any page."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Opener, opened
from tests.browser.test_journeys import first_pair, wait_for_maps
from tests.conftest import Served

PAGES = {
    "runs": "/",
    "gallery": "/r/digits?correct=true&sort=margin",
    "empty gallery": "/r/digits?label=1&predicted=2",
    "explanation": "/r/digits/test/14?show=12",
    "contrast": "/r/digits/test/14?against=9&train_class=4",
    "other colours": "/r/digits/test/14?map=orange-purple&scale=page",
    "comparison": "/r/digits/test/14/compare?c=1e-4&with=digits&with_c=1e-2&map=orange-purple",
    "pair": "/r/digits/test/14/train/0",
    "training": "/r/digits/train/4",
    "help": "/help",
    "error": "/r/nothing",
}
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")
def shared(served_world: Served) -> str:
    """Share an explanation and return its address."""
    state = {"run": served_world.run_id, "test": 14}
    answer = httpx.post(f"{served_world.url}/api/v1/links", json=state, timeout=30)
    return str(answer.json()["url"])


@pytest.fixture(scope="module", params=["light", "dark"])
def themed(request: pytest.FixtureRequest, chromium: Browser, served_world: Served) -> Iterator[Page]:
    with opened(chromium, served_world.url, errors_allowed=True, color_scheme=request.param) as page:
        yield page


@pytest.mark.parametrize("name", [*PAGES, "shared", "keys"])
def test_axe_finds_nothing_serious(themed: Page, shared: str, name: str) -> None:
    themed.goto(PAGES["runs"] if name == "keys" else shared if name == "shared" else PAGES[name])
    if name == "keys":
        themed.get_by_role("button", name="Keyboard shortcuts").click()
    found = Axe().run(themed, options={"runOnly": {"type": "tag", "values": TAGS}})
    serious = [
        f"{rule['id']}: {node['html']} {node['failureSummary']}"
        for rule in found.response["violations"]
        if rule["impact"] in ("serious", "critical", "moderate")
        for node in rule["nodes"]
    ]
    assert serious == []


@pytest.mark.parametrize("width", [320, 390, 768, 2560])
def test_pages_do_not_scroll_sideways(open_page: Opener, shared: str, width: int) -> None:
    with open_page(errors_allowed=True, viewport={"width": width, "height": 844}) as page:
        for path in (*PAGES.values(), shared):
            page.goto(path)
            over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert over <= 0, path


def test_gallery_on_small_screen_shows_images_before_filters(open_page: Opener) -> None:
    with open_page(viewport={"width": 390, "height": 844}) as page:
        page.goto("/r/digits")
        label = page.get_by_label("label", exact=True)
        expect(label).to_be_hidden()
        box = page.locator(".grid a").first.bounding_box()
        assert box is not None
        assert box["y"] < 420
        page.get_by_role("button", name="Filters").click()
        label.select_option("4")
        expect(page.get_by_role("heading", name="12 of 120 test images")).to_be_visible()
        expect(page.get_by_role("link", name="Remove filter: label 4")).to_be_visible()


def test_gallery_on_large_screen_opens_filters(page: Page) -> None:
    page.goto("/r/digits")
    expect(page.get_by_label("label", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Filters")).to_be_hidden()


def test_explanation_head_with_listing_stays_on_one_line(page: Page) -> None:
    page.goto("/r/digits/test/14?label=4&correct=true&disagrees=false&max_margin=1&against=9")
    box = page.locator(".head").bounding_box()
    assert box is not None
    assert box["height"] < 60


def test_menus_open_within_small_screen(open_page: Opener) -> None:
    with open_page(viewport={"width": 390, "height": 844}) as page:
        page.goto("/r/digits/test/14")
        page.get_by_role("button", name="Copy link").click()
        answer = page.get_by_label("Link to this explanation")
        expect(answer).to_be_visible()
        places = [answer.bounding_box()]
        page.get_by_role("button", name="Export").click()
        expect(answer).to_be_hidden()
        places.append(page.locator(".head-tools .menu ul").bounding_box())
        for box in places:
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 390


@pytest.mark.parametrize("width", [320, 390])
def test_thumbnails_on_small_screen_have_one_size(open_page: Opener, width: int) -> None:
    with open_page(viewport={"width": width, "height": 844}) as page:
        page.goto("/r/digits")
        sizes = page.locator(".grid img").evaluate_all("all => all.map(i => `${i.clientWidth}x${i.clientHeight}`)")
        assert set(sizes) == {"84x84"}


def test_first_screen_shows_the_whole_explanation(page: Page) -> None:
    page.goto("/r/digits/test/14")
    wait_for_maps(page)
    for selector in (".centre .views", ".support .tiles", ".oppose .tiles", ".named-sum"):
        box = page.locator(selector).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 900, selector
    # strongest next to the centre: opposing ones run to the left, supporting ones to the right
    for side, sign in (("support", 1), ("oppose", -1)):
        lefts = [tile.bounding_box() for tile in page.locator(f".{side} .tile").all()]
        places = [box["x"] * sign for box in lefts if box is not None]
        assert places == sorted(places)
    # columns line up: the map on the test image lies directly under the training image
    stacks = page.locator(".support .tile").first.locator(".stack").all()
    upper, lower = (stack.bounding_box() for stack in stacks)
    assert upper is not None
    assert lower is not None
    assert upper["x"] == lower["x"]
    assert upper["y"] + upper["height"] <= lower["y"]


def test_images_keep_their_places_while_heatmaps_are_computed(open_page: Opener) -> None:
    places = []
    for busy in (True, False):
        with open_page(errors_allowed=True) as page:
            if busy:
                page.route("**/relevance/**", lambda route: route.fulfill(status=503, body=""))
            page.goto("/r/digits/test/14?target=2")
            if not busy:
                wait_for_maps(page)
            places.append(page.locator(".sum-strip").bounding_box())
    assert places[0] == places[1]


def test_keyboard_alone_reaches_everything(page: Page) -> None:
    page.goto("/r/digits")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("/")
    expect(page.get_by_label("go to #")).to_be_focused()
    page.keyboard.type("14")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Test image 14")
    page.keyboard.press("Escape")
    page.locator("#main").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("h1")).to_have_text("Test image 15")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("h1")).to_have_text("Test image 14")

    tabs = 0
    while not page.evaluate("document.activeElement.matches('.tile-link')"):
        page.keyboard.press("Tab")
        tabs += 1
        assert tabs < 40
        assert page.evaluate("document.activeElement.matches(':focus-visible')")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none"
    page.keyboard.press("Enter")
    expect(page.locator(".pair-verdict")).to_contain_text("supports")
    page.keyboard.press("e")
    expect(page.locator("h1")).to_have_text("Test image 14")
    page.keyboard.press("c")
    expect(page.get_by_label("Link to this explanation")).to_be_visible()
    page.locator("#main").focus()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("g")
    expect(page).to_have_url(re.compile("/r/digits$"))


def test_target_switched_by_keyboard_keeps_focus(page: Page) -> None:
    page.goto("/r/digits/test/14")
    page.get_by_label("why", exact=True).focus()
    page.keyboard.press("End")
    expect(page.get_by_role("heading", name="Why 9?")).to_be_visible()
    expect(page.get_by_label("why", exact=True)).to_be_focused()


def test_single_key_shortcuts_can_be_switched_off(page: Page) -> None:
    page.goto("/r/digits/test/14")
    page.keyboard.press("?")
    page.get_by_label("Single keys are shortcuts").uncheck()
    page.keyboard.press("Escape")
    page.reload()
    page.keyboard.press("g")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page).to_have_url(re.compile("/test/14$"))
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="Test image 15")).to_be_visible()


def test_theme_is_kept_and_applied_at_first_paint(page: Page) -> None:
    page.goto("/")
    button = page.get_by_role("button", name=re.compile("Colour theme"))
    button.click()
    button.click()
    expect(button).to_have_accessible_name("Colour theme: dark")
    page.goto("/help", wait_until="commit")
    page.wait_for_selector("main", state="attached")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert background == "rgb(23, 22, 20)"


def test_reduced_motion_stops_all_animation(open_page: Opener) -> None:
    with open_page(reduced_motion="reduce") as page:
        page.goto("/r/digits/test/14")
        moving = page.evaluate("document.getAnimations().length")
        assert moving == 0


def test_pair_page_opens_from_the_first_tile(page: Page) -> None:
    page.goto("/r/digits/test/14")
    page.goto(first_pair(page))
    expect(page.locator(".pair-verdict")).to_contain_text("the strongest of")
    for picture in page.locator(".pair-panel .stack").all():
        box = picture.bounding_box()
        assert box is not None
        assert box["width"] == box["height"] == 900 - 264  # the window less what stands above the pair
