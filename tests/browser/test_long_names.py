"""Long names: two runs with long titles and class names, on every page and screen."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import opened
from tests.conftest import serve
from tests.world import World
from xda.explanation.run import Explainer
from xda.settings import Settings

CLASSES = (
    "American Staffordshire terrier",
    "Donaudampfschifffahrtsgesellsc",
    "West Highland white terrier",
    "German short-haired pointer",
    "black-and-tan coonhound",
    "automobile",
    "ship",
    "Schiff groß",
    "Staffordshire bullterrier",
    "x",
)
FIRST, SECOND = "dogs-and-other-things-resnet18-cross-validation-fold-3", "b" * 60
PAGES = (
    "/",
    f"/r/{FIRST}",
    f"/r/{FIRST}?correct=false",
    f"/r/{FIRST}/test/14",
    f"/r/{SECOND}/test/14?against=1&limit=20",
    f"/r/{FIRST}/test/14/compare?with={SECOND}",
    f"/r/{FIRST}/test/14/train/4",
    f"/r/{FIRST}/train/4",
    f"/r/{FIRST}/test/99999999",
    "/help",
)


def renamed(run: Path, into: Path, run_id: str, title: str, classes: tuple[str, ...] = CLASSES) -> Path:
    """Copy a run under another name, title and names of classes."""
    shutil.copytree(run, into)
    manifest = json.loads((into / "manifest.json").read_text())
    (into / "manifest.json").write_text(json.dumps(manifest | {"id": run_id, "title": title, "classes": classes}))
    return into


@pytest.fixture(scope="module")
def server(world: World, retrained: Explainer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("long names")
    first = renamed(world.run, folder / "first", FIRST, "Dogs and other things · early stopping after 40 epochs " * 2)
    second = renamed(retrained.run.path, folder / "second", SECOND, "Donaudampfschifffahrtsgesellschaftskapitän" * 2)
    yield from serve(Settings(home=folder, runs=f"{first}:{second}", device="cpu"))


@pytest.mark.parametrize("width", [320, 390, 1024, 1440])
def test_long_names_do_not_scroll_sideways(chromium: Browser, server: str, width: int) -> None:
    with opened(chromium, server, errors_allowed=True, viewport={"width": width, "height": 844}) as page:
        for path in PAGES:
            page.goto(path)
            over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert over <= 0, path
            summary = page.locator(".where summary")
            if summary.count():
                summary.click()
                box = page.locator(".where .menu ul").bounding_box()
                assert box is not None
                assert box["x"] >= 0
                assert box["x"] + box["width"] <= width, path


@pytest.mark.parametrize("width", [1440, 1920])
def test_table_numbers_are_not_cut_with_long_names(chromium: Browser, server: str, width: int) -> None:
    with opened(chromium, server, errors_allowed=True, viewport={"width": width, "height": 900}) as page:
        for path in PAGES:
            page.goto(path)
            cut = page.locator(".scroll").evaluate_all(
                "all => all.filter(e => e.scrollWidth > e.clientWidth).map(e => e.getAttribute('aria-label'))"
            )
            assert cut == [], path


def test_table_on_phone_keeps_names_beside_numbers(chromium: Browser, server: str) -> None:
    with opened(chromium, server, viewport={"width": 390, "height": 844}) as page:
        page.goto(f"/r/{FIRST}/test/14/compare?with={SECOND}")
        region = page.get_by_role("region", name="Logits of each class on both sides")
        assert region.evaluate("e => { e.scrollLeft = 1000; return e.scrollLeft }") > 0
        outer, name = region.bounding_box(), region.locator("tbody th").first.bounding_box()
        assert outer is not None
        assert name is not None
        assert abs(name["x"] - outer["x"]) < 1


@pytest.mark.parametrize("width", [320, 390, 720, 721])
@pytest.mark.parametrize("path", [f"/r/{FIRST}/test/14", f"/r/{SECOND}/test/14?against=1", f"/r/{FIRST}/test/3?c=0.01"])
def test_table_by_label_on_phone_shows_every_column(chromium: Browser, server: str, path: str, width: int) -> None:
    with opened(chromium, server, viewport={"width": width, "height": 844}) as page:
        page.goto(path)
        region = page.get_by_role("region", name="Contributions by label")
        assert region.evaluate("e => e.scrollWidth - e.clientWidth") <= 0
        outer = region.bounding_box()
        assert outer is not None
        for row in region.locator("tbody tr").all():
            texts = [text for text in row.inner_text().split("\n") if text.strip()]
            assert any(re.search(r"\d \+ \d", text) for text in texts), texts
        for cell in region.locator("th:visible, td:visible").all():
            box = cell.bounding_box()
            assert box is not None
            assert box["x"] >= outer["x"] - 1
            assert box["x"] + box["width"] <= outer["x"] + outer["width"] + 1


CUT = (
    "all => all.filter(e => e.scrollHeight > e.clientHeight + 1 || e.scrollWidth > e.clientWidth).map(e => e.innerText)"
)


@pytest.mark.parametrize("width", [390, 1440])
def test_long_class_names_are_whole_and_maps_level(chromium: Browser, server: str, width: int) -> None:
    with opened(chromium, server, viewport={"width": width, "height": 900}) as page:
        for path in PAGES[1:5] + PAGES[7:8]:
            page.goto(path)
            for names in (".tile-label", ".tile-network", ".thumb-label", ".matrix th", ".matrix th a"):
                assert page.locator(names).evaluate_all(CUT) == [], path
        page.goto(f"/r/{FIRST}/test/14")
        for side in ("support", "oppose"):
            tops = page.locator(f".{side} .tile").evaluate_all(
                "all => all.slice(0, 4).map(e => Math.round(e.querySelector('.stack').getBoundingClientRect().top))"
            )
            assert len(set(tops)) == 1, tops
