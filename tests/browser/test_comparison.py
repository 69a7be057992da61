"""Comparing the runs of a network and its retrained version, in a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import opened
from tests.browser.test_access import TAGS
from tests.browser.test_journeys import wait_for_maps
from tests.conftest import serve
from tests.world import RETRAINED_ID, World
from xda.explanation.run import Explainer
from xda.settings import Settings


@pytest.fixture(scope="module")
def both(world: World, retrained: Explainer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve both runs."""
    runs = f"{world.run}:{retrained.run.path}"
    yield from serve(Settings(home=tmp_path_factory.mktemp("both"), runs=runs, device="cpu"))


@pytest.fixture
def page(chromium: Browser, both: str) -> Iterator[Page]:
    with opened(chromium, both) as each:
        yield each


def expect_sides(page: Page, first: str, second: str) -> None:
    expect(page.locator(".compared-side h2")).to_have_text([f"A {first}", f"B {second}"])


def test_comparison_journey_shows_changes(page: Page, chromium: Browser, both: str, tmp_path: Path) -> None:
    page.goto("/r/digits/test/14?label=4")
    # the run switch leads to the same test image, and back
    page.locator("summary", has_text="run").click()
    page.get_by_role("link", name=re.compile(RETRAINED_ID)).click()
    expect(page).to_have_url(re.compile(rf"/r/{RETRAINED_ID}/test/14$"))
    page.go_back()
    expect(page.get_by_role("link", name="in: label 4")).to_be_visible()

    page.get_by_role("link", name="compare", exact=True).click()
    expect(page).to_have_url(re.compile(r"/r/digits/test/14/compare\?"))
    expect_sides(page, "digits · C 1e-2", "digits-again · C 1e-2")
    wait_for_maps(page)
    expect(page.get_by_text("all 600 training images are matched")).to_be_visible()

    page.get_by_label("compare with").select_option("digits · C 1e-4")
    expect(page).to_have_url(re.compile(r"with=digits&with_c=0\.0001"))
    expect_sides(page, "digits · C 1e-2", "digits · C 1e-4")
    page.get_by_role("link", name=re.compile("^only B")).click()
    expect(page).to_have_url(re.compile("only=second"))
    expect(page.locator(".matched .matched-note").first).to_have_text("only B")
    expect(page.locator(".matched-line", has_text="weight zero").first).to_be_visible()
    page.get_by_role("link", name="Swap sides").click()
    expect(page).to_have_url(re.compile("only=first"))
    expect_sides(page, "digits · C 1e-4", "digits · C 1e-2")

    page.get_by_label("and not", exact=True).select_option("9")
    expect(page.get_by_text("Why 4 and not 9?")).to_be_visible()
    # the listing of the gallery is kept on the way
    page.locator('a[rel="next"]').click()
    expect(page.get_by_role("heading", name="Test image 24")).to_be_visible()
    page.go_back()
    expect(page.get_by_text("Why 4 and not 9?")).to_be_visible()

    page.get_by_role("link", name="Copy link").click()
    address = page.get_by_label("Link to this explanation").input_value()
    with opened(chromium, both) as fresh:
        fresh.goto(address)
        expect_sides(fresh, "digits · C 1e-4", "digits · C 1e-2")
        expect(fresh.get_by_text("Why 4 and not 9?")).to_be_visible()

    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("link", name=re.compile("^CSV")).click()
    download.value.save_as(tmp_path / "csv")
    assert (tmp_path / "csv").read_text().startswith("train_index_a,label_a")

    page.locator(".matched-value").first.click()
    expect(page).to_have_url(re.compile(r"/test/14/train/\d+\?.*target=4&against=9"))


def test_comparison_without_javascript_works(chromium: Browser, both: str) -> None:
    with opened(chromium, both, java_script_enabled=False) as page:
        page.goto("/r/digits/test/14/compare")
        page.get_by_label("compare with").select_option("digits-again · C 1e-4")
        page.get_by_label("why", exact=True).select_option("9")
        page.get_by_role("button", name="Compare").click()
        expect_sides(page, "digits · C 1e-2", "digits-again · C 1e-4")
        expect(page.get_by_text("Why 9?")).to_be_visible()
        page.get_by_role("link", name="Copy link").click()
        expect(page).to_have_url(
            re.compile(r"c=0\.01&target=9&with=digits-again&with_c=0\.0001&at=[0-9a-f]{16}&with_at=")
        )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_comparison(chromium: Browser, both: str, scheme: str) -> None:
    with opened(chromium, both, errors_allowed=True, color_scheme=scheme) as page:
        page.goto("/r/digits/test/14/compare?c=1e-4&with=digits-again&with_c=1e-2")
        found = Axe().run(page, options={"runOnly": {"type": "tag", "values": TAGS}})
        assert [
            f"{rule['id']}: {node['html']}" for rule in found.response["violations"] for node in rule["nodes"]
        ] == []


@pytest.mark.parametrize("width", [320, 390, 768, 1024, 2560])
def test_comparison_does_not_scroll_sideways(chromium: Browser, both: str, width: int) -> None:
    with opened(chromium, both, viewport={"width": width, "height": 844}) as page:
        page.goto("/r/digits/test/14/compare?c=1e-4&with=digits-again&with_c=1e-2")
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
