"""Photographs in a real browser: a heat-map lies, to the pixel, over the part of the original that the network saw."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.browser.conftest import opened
from tests.browser.test_journeys import wait_for_maps
from tests.conftest import serve
from tests.photos import RUN_ID, make_photos
from xda.explanation.run import Explainer
from xda.present.colour import ends
from xda.present.signed_maps import pack
from xda.settings import Settings

BLUE, _ = ends("red-blue")
OPPOSING = pack(np.full((64, 64), -1.0, np.float32))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def explainer(run: Path) -> Iterator[Explainer]:
    with Explainer.open(run, device="cpu", allow_factory=["tests.photos"]) as explainer:
        yield explainer


@pytest.fixture
def page(run: Path, chromium: Browser, tmp_path: Path) -> Iterator[Page]:
    for url in serve(Settings(home=tmp_path, runs=str(run), device="cpu", allow_factory="tests.photos")):
        with opened(chromium, url) as each:
            yield each


def paint_maps_blue(page: Page) -> None:
    """Let every heat-map be opposition everywhere."""

    def opposing(route: Route) -> None:
        route.fulfill(body=OPPOSING, content_type="application/octet-stream")

    page.route("**/relevance/**/*.i16*", opposing)


def blue_box(stack: Locator) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the blue part of an element's screenshot."""
    with Image.open(io.BytesIO(stack.screenshot())) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    blue = (np.abs(pixels - BLUE) < 3).all(axis=2)
    # a photograph may have a few pixels of this blue
    rows, columns = (np.flatnonzero(blue.sum(axis=axis) > 20) for axis in (1, 0))
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


@pytest.mark.parametrize("size", [(400, 300), (300, 400), (900, 250), (2400, 1600)])
def test_heatmap_covers_network_input(page: Page, explainer: Explainer, size: tuple[int, int]) -> None:
    test = next(i for i in range(10) if explainer.images.place("test", i).original == size)
    told = explainer.explain(test, limit=1)
    partner = (*told.supporting, *told.opposing)[0].index
    paint_maps_blue(page)
    page.goto(f"/r/{RUN_ID}/test/{test}/train/{partner}?opacity=100")
    wait_for_maps(page)
    for number, where in enumerate((explainer.images.place("test", test), explainer.images.place("train", partner))):
        stack = page.locator(".stack.huge").nth(number)
        box = stack.bounding_box()
        assert box is not None
        width, height = where.original
        scale = box["width"] / max(width, height)
        left = (box["width"] - width * scale) / 2 + where.seen.left * scale
        top = (box["height"] - height * scale) / 2 + where.seen.top * scale
        expected = (left, top, left + where.seen.width * scale, top + where.seen.height * scale)
        assert np.abs(np.subtract(blue_box(stack), expected)).max() <= 1.5


def test_probe_reads_pixel_under_pointer(page: Page, explainer: Explainer) -> None:
    test = next(i for i in range(10) if explainer.images.place("test", i).original == (900, 250))
    told = explainer.explain(test, limit=1)
    partner = (*told.supporting, *told.opposing)[0].index
    page.goto(f"/r/{RUN_ID}/test/{test}/train/{partner}")
    wait_for_maps(page)
    stack = page.locator(".stack.huge").first
    stack.scroll_into_view_if_needed()
    box = stack.bounding_box()
    assert box is not None
    where = explainer.images.place("test", test)
    scale = box["width"] / 900
    x = box["x"] + (where.seen.left + (10 + 0.5) / 64 * where.seen.width) * scale
    y = box["y"] + (box["height"] - 250 * scale) / 2 + (where.seen.top + (50 + 0.5) / 64 * where.seen.height) * scale
    page.mouse.move(x, y)
    expect(page.locator("#test-value")).to_contain_text("column 10, row 50")
