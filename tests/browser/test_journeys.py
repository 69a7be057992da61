"""Journeys through the product in a real browser: with the mouse, without JavaScript, and with the back button."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Opener, opened
from tests.conftest import Served, serve
from xda.settings import Settings

GALLERY = "/r/digits"


PAINTED = (
    "c => { const copy = new OffscreenCanvas(c.width, c.height).getContext('2d', { willReadFrequently: true });"
    " copy.drawImage(c, 0, 0); return copy.getImageData(0, 0, c.width, c.height).data.some(v => v > 0) }"
)
"""Whether a canvas shows anything."""


def wait_for_maps(page: Page) -> None:
    """Wait until every heat-map that the page shows is painted."""
    page.wait_for_function(
        "() => document.documentElement.dataset.maps === 'painted'"
        " && [...document.querySelectorAll('.stack > img.map')].every(i => i.complete && i.naturalWidth > 0)"
    )


def first_pair(page: Page) -> str:
    """Return the address of the strongest supporting training image."""
    href = page.locator(".support .tile-link").first.get_attribute("href")
    assert href is not None
    return href


def test_journey_from_filter_to_shared_link_works(page: Page, open_page: Opener) -> None:
    page.goto("/")
    page.get_by_role("link", name=re.compile("Drawn digits")).first.click()
    expect(page).to_have_url(re.compile(r"/r/digits$"))

    page.get_by_label("label", exact=True).select_option("4")
    expect(page).to_have_url(re.compile(r"\?label=4$"))
    expect(page.get_by_role("heading", name="12 of 120 test images")).to_be_visible()

    page.locator(".grid a").first.click()
    expect(page).to_have_url(re.compile(r"/test/4\?label=4$"))
    expect(page.get_by_role("heading", name="Test image 4")).to_be_visible()
    wait_for_maps(page)
    # the next image of the filtered list, not of all images
    page.locator('a[rel="next"]').click()
    expect(page).to_have_url(re.compile(r"/test/14\?label=4$"))
    expect(page.get_by_role("link", name="in: label 4")).to_have_attribute("href", "/r/digits?label=4")

    page.locator(".support .tile-link").first.click()
    expect(page).to_have_url(re.compile(r"/test/14/train/\d+\?target=4&label=4$"))
    wait_for_maps(page)
    expect(page.locator(".pair-verdict")).to_contain_text("supports 4")

    page.get_by_label("why", exact=True).select_option("9")
    expect(page).to_have_url(re.compile(r"/train/\d+\?.*target=9"))
    expect(page.locator(".pair-verdict")).to_contain_text("9")

    page.get_by_role("link", name="Test image 14").first.click()
    expect(page).to_have_url(re.compile(r"/test/14\?target=9&label=4$"))
    page.get_by_role("button", name="Copy link").click()
    link = page.get_by_label("Link to this explanation")
    expect(link).to_be_visible()
    address = link.input_value()

    with open_page() as fresh:
        fresh.goto(address)
        expect(fresh.get_by_text(re.compile("Shared on"))).to_be_visible()
        expect(fresh.get_by_role("heading", name="Why 9?")).to_be_visible()
        wait_for_maps(fresh)
        card = fresh.locator('meta[property="og:image"]').get_attribute("content")
        assert card is not None
        answer = fresh.request.get(card)
        assert answer.ok
        assert answer.headers["content-type"] == "image/png"


def test_back_and_forward_restore_pages(page: Page) -> None:
    page.goto("/r/digits/test/14")
    page.get_by_label("and not", exact=True).select_option("9")
    expect(page.get_by_role("heading", name=re.compile("and not 9"))).to_be_visible()
    page.locator("#more-support").click()
    expect(page.locator(".support .tile")).to_have_count(12)
    page.locator('a[rel="next"]').click()
    expect(page.get_by_role("heading", name="Test image 15")).to_be_visible()

    page.go_back()
    expect(page.get_by_role("heading", name="Test image 14")).to_be_visible()
    expect(page.locator(".support .tile")).to_have_count(12)
    page.go_back()
    expect(page.locator(".support .tile")).to_have_count(4)
    page.go_back()
    expect(page.get_by_role("heading", name="Why 4?")).to_be_visible()
    page.go_forward()
    expect(page.get_by_role("heading", name=re.compile("and not 9"))).to_be_visible()


def test_address_restores_state(page: Page) -> None:
    for path, heading in (
        ("/r/digits/test/14?target=7&against=2&c=0.0001", "Why 7 and not 2?"),
        ("/r/digits/test/14?target=7&show=12&train_class=7&map=orange-purple&scale=page&opacity=60", "Why 7?"),
    ):
        page.goto(path)
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
        wait_for_maps(page)


def test_confusion_matrix_filters_gallery(page: Page) -> None:
    page.goto(GALLERY)
    page.get_by_role("link", name=re.compile(r"^label 3, network says 3: \d+ of \d+")).click()
    expect(page).to_have_url(re.compile(r"label=3&predicted=3"))
    expect(page.locator(".chips li")).to_have_count(3)
    page.get_by_role("link", name="Remove filter: label 3").click()
    expect(page).to_have_url(re.compile(r"\?predicted=3$"))


def test_paging_and_go_to_number_work(page: Page) -> None:
    page.goto(GALLERY)
    expect(page.locator(".grid li")).to_have_count(96)
    page.get_by_role("link", name="Next →").click()
    expect(page.locator(".grid li")).to_have_count(24)
    page.get_by_role("link", name="← Previous").click()
    expect(page.locator(".grid li")).to_have_count(96)
    page.get_by_label("go to #").fill("77")
    page.get_by_label("go to #").press("Enter")
    expect(page.get_by_role("heading", name="Test image 77")).to_be_visible()


def test_target_and_contrast_stay_different(page: Page) -> None:
    page.goto("/r/digits/test/14?target=4&against=9")
    why, against = page.get_by_label("why", exact=True), page.get_by_label("and not", exact=True)
    assert why.locator("option:disabled").all_inner_texts() == ["9"]
    assert against.locator("option:disabled").evaluate_all("all => all.map(o => o.value)") == ["4"]
    against.focus()
    page.keyboard.press("ArrowDown")
    # the key press sends nothing and does not change the other side
    expect(page).to_have_url(re.compile("target=4&against=9$"))
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    expect(against).to_have_value("0")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Why 4 and not 0?")).to_be_visible()
    expect(against).to_be_focused()
    # both changed quickly: one request, never for equal classes
    why.focus()
    page.keyboard.press("Home")
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    page.keyboard.press("Tab")
    expect(page.get_by_role("heading", name="Why 1 and not 9?")).to_be_visible()
    why.select_option("3")
    against.select_option("5")
    expect(page.get_by_role("heading", name="Why 3 and not 5?")).to_be_visible()


def test_training_class_filters_list(page: Page) -> None:
    page.goto("/r/digits/test/14")
    page.locator("a.name[title='List only training images labelled 4']").click()
    expect(page).to_have_url(re.compile("train_class=4"))
    expect(page.get_by_text("Only training images labelled 4 are listed;")).to_be_visible()
    labels = page.locator(".board .tile-label").all_inner_texts()
    assert labels
    assert {label.split()[-1] for label in labels} == {"4"}


def test_journey_without_javascript_works(open_page: Opener) -> None:
    with open_page(java_script_enabled=False) as page:
        page.goto(GALLERY)
        page.get_by_label("label", exact=True).select_option("4")
        page.get_by_role("button", name="Filter").click()
        expect(page.get_by_role("heading", name="12 of 120 test images")).to_be_visible()
        page.locator(".grid a").nth(1).click()
        expect(page.get_by_role("heading", name="Test image 14")).to_be_visible()
        page.get_by_role("link", name="1e-4").click()
        page.locator("#more-support").click()
        expect(page.locator(".support .tile")).to_have_count(12)
        page.get_by_label("why", exact=True).select_option("9")
        page.get_by_label("and not", exact=True).select_option("4")
        page.get_by_role("button", name="Explain").click()
        expect(page.get_by_role("heading", name="Why 9 and not 4?")).to_be_visible()
        # a form without JavaScript leaves empty fields in the address; the server ignores them
        page.get_by_label("and not", exact=True).select_option("")
        page.get_by_role("button", name="Explain").click()
        expect(page).to_have_url(re.compile("against=(&|$)"))
        expect(page.get_by_role("heading", name="Why 9?")).to_be_visible()
        page.locator(".oppose .tile-link").first.click()
        expect(page.locator(".pair-verdict")).to_contain_text("opposes 9")
        page.get_by_role("link", name="Test image 14").first.click()
        page.get_by_role("button", name="Copy link").click()
        expect(page).to_have_url(re.compile(r"/s/[\w-]{11,}$"))
        expect(page.get_by_text(re.compile("Shared on"))).to_be_visible()
        expect(page.get_by_label("link", exact=True)).to_have_value(page.url)
        expect(page.get_by_role("heading", name="Why 9?")).to_be_visible()


@pytest.fixture(scope="module")
def prefixed(served_world: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the same world behind a path prefix."""
    home = tmp_path_factory.mktemp("prefixed")
    settings = Settings(home=home, runs=served_world.settings.runs, device="cpu", root_path="/team/xda")
    yield from serve(settings)


def test_journey_under_path_prefix_works(chromium: Browser, prefixed: str) -> None:
    with opened(chromium, prefixed) as page:
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url.removeprefix(prefixed)))
        page.goto("/team/xda/")
        page.get_by_role("link", name=re.compile("Drawn digits")).first.click()
        page.get_by_label("label", exact=True).select_option("4")
        expect(page).to_have_url(f"{prefixed}/team/xda/r/digits?label=4")
        page.locator(".grid a").first.click()
        wait_for_maps(page)
        page.locator(".support .tile-link").first.click()
        expect(page.locator(".pair-verdict")).to_contain_text("supports 4")
        wait_for_maps(page)
        page.get_by_role("button", name="Copy link").click()
        expect(page.get_by_label("Link to this explanation")).to_have_value(
            re.compile(re.escape(f"{prefixed}/team/xda/s/"))
        )
        page.get_by_label("go to #").fill("7")
        page.get_by_label("go to #").press("Enter")
        expect(page.get_by_role("heading", name="Test image 7")).to_be_visible()
        assert [path for path in requests if not path.startswith("/team/xda/")] == []


def test_exports_download_tables_and_figures(page: Page, tmp_path: Path) -> None:
    page.goto("/r/digits/test/14?target=4")
    figures = (("PNG", b"\x89PNG"), ("SVG", b"<svg"), ("PDF", b"%PDF-"))
    for kind, start in (("CSV", b"train_index,label"), ("JSON", b"{"), *figures):
        page.get_by_role("button", name="Export").click()
        with page.expect_download() as download:
            page.get_by_role("link", name=re.compile(f"^{kind}")).click()
        path = tmp_path / kind
        download.value.save_as(path)
        assert path.read_bytes().startswith(start)
        assert download.value.suggested_filename.endswith(f".{kind.lower()}")
        page.keyboard.press("Escape")


def test_error_page_has_same_design(open_page: Opener) -> None:
    with open_page(errors_allowed=True) as page:
        for path, words in (
            ("/r/nothing", "no run 'nothing'"),
            ("/r/digits/test/9999", "no test image"),
            ("/r/digits/test/1?target=99", "no class 99"),
            ("/r/digits/test/1?c=7", "no surrogate with C = 7"),
            ("/r/digits/test/1?target=two", "must be a whole number"),
            ("/s/aaaaaaaaaaaaaaaa", "link"),
            ("/nowhere", "nothing at this address"),
        ):
            page.goto(path)
            expect(page.locator("main .lead")).to_contain_text(words)
            expect(page.get_by_role("link", name="All runs")).to_be_visible()


def test_error_behind_link_is_shown_in_place(open_page: Opener) -> None:
    with open_page(errors_allowed=True) as page:
        page.goto("/r/digits/test/14")
        page.get_by_label("go to #").fill("4711")
        page.get_by_label("go to #").press("Enter")
        expect(page.locator("main .lead")).to_contain_text("no test image 4711")
        page.go_back()
        expect(page.locator("h1")).to_have_text("Test image 14")


def test_training_images_are_fetched_when_visible(page: Page) -> None:
    page.goto("/r/digits/test/14?c=0.0001&show=96")
    assert page.locator(".support .tile").count() > 24
    page.locator(".support .tile").last.scroll_into_view_if_needed()
    last = page.locator(".support .tile").last.locator("canvas.map").last
    page.wait_for_function(PAINTED, arg=last.element_handle())


def test_fast_clicks_end_at_last_target(page: Page) -> None:
    page.goto("/r/digits/test/14")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    expect(page.locator("h1")).to_have_text("Test image 18")
    for key in ("ArrowRight", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
    expect(page.locator("h1")).to_have_text("Test image 17")
    expect(page).to_have_url(re.compile("/test/17$"))


def test_held_key_moves_until_released(page: Page) -> None:
    page.goto("/r/digits/test/14")
    for _ in range(30):
        page.keyboard.down("ArrowRight")
        page.wait_for_timeout(15)
    page.keyboard.up("ArrowRight")
    page.wait_for_load_state("networkidle")
    number = int(page.locator("h1").inner_text().split()[-1])
    assert number >= 16
    page.wait_for_timeout(300)
    expect(page).to_have_url(re.compile(f"/test/{number}$"))


def test_filter_announces_number_of_images(page: Page) -> None:
    page.goto(GALLERY)
    page.get_by_label("label", exact=True).select_option("4")
    expect(page.locator("#announce")).to_have_text("12 of 120 test images")
    page.locator(".grid a").first.click()
    expect(page.locator("#announce")).to_have_text("Test image 4: why 4 · DualXDA Explorer")
    page.get_by_label("and not", exact=True).select_option("9")
    expect(page).to_have_title("Test image 4: why 4 and not 9 · DualXDA Explorer")


def test_copy_while_scrolled_confirms_in_sight(page: Page) -> None:
    page.goto("/r/digits/test/14")
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.keyboard.press("c")
    answer = page.get_by_label("Link to this explanation")
    expect(answer).to_be_in_viewport()
    expect(page.get_by_role("status")).not_to_be_empty()


def test_go_to_number_keeps_opacity(page: Page) -> None:
    page.goto("/r/digits/test/14")
    page.get_by_label("Opacity of the heat-maps in percent").fill("40")
    page.get_by_label("go to #").fill("15")
    page.get_by_label("go to #").press("Enter")
    expect(page).to_have_url(re.compile(r"/test/15\?opacity=40$"))


def test_server_gone_is_reported_in_browser(open_page: Opener) -> None:
    with open_page(errors_allowed=True) as page:
        page.route("**/test/15*", lambda route: route.abort("connectionrefused"))
        page.goto("/r/digits/test/14")
        page.locator('a[rel="next"]').click()
        expect(page.get_by_text("ERR_CONNECTION_REFUSED")).to_be_visible()
        page.unroute("**/test/15*")
        page.reload()
        expect(page.locator("h1")).to_have_text("Test image 15")


def test_styles_are_not_copied_between_pages(page: Page) -> None:
    page.goto("/r/digits/test/14")
    # as after a browser extension or a dragged corner; the policy forbids such style attributes
    page.locator("#go").evaluate("field => { field.style.width = '120px'; }")
    page.locator('a[rel="next"]').click()
    expect(page.locator("h1")).to_have_text("Test image 15")
    page.wait_for_timeout(100)
    # each heat-map's script places its canvas, which the policy allows
    assert page.locator("[style]:not(canvas)").count() == 0
