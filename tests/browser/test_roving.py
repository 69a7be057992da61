"""The keyboard in groups: few tab stops, arrows within a group, and the focus stays where it was."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Opener

MOST_STOPS = 10


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize(
    ("path", "image"),
    [("/r/digits", ".grid a"), ("/r/digits?label=4&correct=true", ".grid a"), ("/r/digits/test/14", ".tile-link")],
)
def test_first_image_is_reached_within_ten_stops(open_page: Opener, path: str, image: str, width: int) -> None:
    with open_page(viewport={"width": width, "height": 900}) as page:
        page.goto(path)
        stops = []
        page.keyboard.press("Tab")
        while not page.evaluate(f"document.activeElement.matches({image!r})"):
            stops.append(page.evaluate("document.activeElement.outerHTML.slice(0, 90)"))
            assert len(stops) <= MOST_STOPS, stops
            page.keyboard.press("Tab")


def focused(page: Page) -> str:
    href = page.evaluate("document.activeElement.getAttribute('href')")
    return re.sub(r"\?.*", "", str(href))


def test_arrows_move_within_the_gallery(page: Page) -> None:
    page.goto("/r/digits")
    links = page.locator(".grid a")
    tops = links.evaluate_all("all => all.map(a => a.getBoundingClientRect().top)")
    columns = tops.count(tops[0])
    links.first.focus()
    for key, test in (
        ("ArrowRight", 1),
        ("ArrowDown", 1 + columns),
        ("ArrowLeft", columns),
        ("ArrowLeft", columns - 1),
        ("ArrowUp", columns - 1),
        ("End", 95),
        ("Home", 0),
    ):
        page.keyboard.press(key)
        assert focused(page) == f"/r/digits/test/{test}", key
    expect(page).to_have_url(re.compile("/r/digits$"))
    # the group is one stop, which is where the focus was last
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    assert focused(page) == "/r/digits/test/1"


def test_arrows_in_opposing_images_follow_what_is_seen(page: Page) -> None:
    page.goto("/r/digits/test/14")
    tiles = page.locator(".oppose .tile-link")
    strongest, next_one = tiles.nth(0).get_attribute("href"), tiles.nth(1).get_attribute("href")
    tiles.first.focus()
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.getAttribute('href')") == next_one
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.getAttribute('href')") == strongest
    expect(page).to_have_url(re.compile("/test/14$"))


def test_arrows_after_a_click_step_through_test_images(page: Page) -> None:
    page.goto("/r/digits/test/14")
    page.get_by_role("link", name=re.compile("^1e-4")).click()
    expect(page).to_have_url(re.compile("c=0.0001"))
    page.keyboard.press("ArrowRight")
    expect(page.locator("h1")).to_have_text("Test image 15")


def test_choice_of_a_class_in_the_table_keeps_focus(page: Page) -> None:
    page.goto("/r/digits/test/14")
    page.get_by_title("Explain 7", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Why 7?")).to_be_visible()
    assert page.evaluate("document.activeElement.textContent") == "7"
    page.goto("/r/digits/test/14")
    page.locator("a.name[title='List only training images labelled 4']").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Only training images labelled 4 are listed;")).to_be_visible()
    assert page.evaluate("document.activeElement.textContent") == "all"


def test_choice_in_the_confusion_matrix_keeps_focus(page: Page) -> None:
    page.goto("/r/digits")
    cell = page.get_by_role("link", name=re.compile(r"^label 3, network says 3: \d+ of \d+"))
    cell.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"label=3&predicted=3"))
    assert "label 3, network says 3" in page.evaluate("document.activeElement.getAttribute('aria-label')")
