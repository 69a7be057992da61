"""Sources of images on every page and in every export, names with HTML among them."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.photos import RUN_ID, build_photos, write_images
from xda.explanation.run import Explainer
from xda.present.story import from_snapshot, tell, to_snapshot
from xda.settings import Settings
from xda.web.factory import create_app

HOSTILE = "=<img src=x onerror=alert(1)>\n\x1b[31m\"'&.jpg"
SHOWN = "=<img src=x onerror=alert(1)>\\n\\x1b[31m\"'&.jpg"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    write_images(folder / "images")
    for split in ("train", "test"):
        (folder / "images" / split / "blue" / "00.jpg").rename(folder / "images" / split / "blue" / HOSTILE)
    return build_photos(folder)


@pytest.fixture(scope="module")
def explainer(run: Path) -> Iterator[Explainer]:
    with Explainer.open(run, device="cpu", allow_factory=["tests.photos"]) as explainer:
        yield explainer


@pytest.fixture(scope="module")
def client(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    app = create_app(
        Settings(home=tmp_path_factory.mktemp("home"), runs=str(run), device="cpu", allow_factory="tests.photos")
    )
    with TestClient(app) as client:
        app.state.lifecycle.wait(30)
        yield client


def shown(page: str) -> list[str]:
    """Return the sources that a page names with a button to copy them."""
    return [html.unescape(text) for text in re.findall(r'<p class="source">.*?<code[^>]*>(.*?)</code> <button', page)]


def titles(page: str) -> set[str]:
    return {html.unescape(text) for text in re.findall(r' title="from ([^"]*)"', page)}


def test_pages_name_sources(client: TestClient, explainer: Explainer) -> None:
    told = explainer.explain(3, limit=4)
    listed = (*told.supporting, *told.opposing)
    page = client.get(f"/r/{RUN_ID}/test/3").text
    assert shown(page) == ["test/blue/08.jpg"] == [told.test.source]
    assert titles(page) == {part.source for part in listed}
    part = listed[0]
    assert shown(client.get(f"/r/{RUN_ID}/test/3/train/{part.index}").text) == ["test/blue/08.jpg", part.source]
    assert shown(client.get(f"/r/{RUN_ID}/train/{part.index}").text) == [part.source]
    assert len(titles(client.get(f"/r/{RUN_ID}").text)) == explainer.n_test


def test_hostile_source_is_text_on_every_page(client: TestClient, explainer: Explainer) -> None:
    test, train = (explainer.find(split, SHOWN) for split in ("test", "train"))
    for address in ("", f"/test/{test}", f"/test/{test}/train/{train}", f"/train/{train}"):
        page = client.get(f"/r/{RUN_ID}{address}").text
        assert "<img src=x" not in page
        assert "\x1b" not in page
        assert any(text.endswith(SHOWN) for text in (*shown(page), *titles(page)))


def test_json_csv_and_list_give_sources(client: TestClient, explainer: Explainer) -> None:
    told = client.get(f"/api/v1/runs/{RUN_ID}/test/3/explanation").json()
    assert told["test"]["source"] == "test/blue/08.jpg"
    for part in (*told["supporting"], *told["opposing"]):
        assert part["source"] == explainer.source("train", part["index"])
    train = client.get(f"/api/v1/runs/{RUN_ID}/train/21").json()
    assert train["source"] == "train/red/91.tif"
    assert {each["source"] for each in train["supports"]} == {
        explainer.source("test", each["test"]) for each in train["supports"]
    }
    items = client.get(f"/api/v1/runs/{RUN_ID}/test").json()["items"]
    assert [item["source"] for item in items] == [explainer.source("test", item["index"]) for item in items]
    document = client.get(f"/r/{RUN_ID}/test/3/explanation.json").json()["contributions"]
    rows = list(csv.DictReader(io.StringIO(client.get(f"/r/{RUN_ID}/test/3/explanation.csv").text)))
    expected = [explainer.source("train", index) for index in document["index"]]
    assert document["source"] == expected
    assert [row["source"] for row in rows] == expected


def test_source_that_repeats_the_number_is_not_shown() -> None:
    from xda.web.pages.chrome import origin

    assert origin("train[5]", "train", 5) == ""
    assert origin("train[6]", "train", 5) == "train[6]", "an image before it was left out"
    assert origin(None, "train", 5) == ""


def test_link_keeps_sources_and_older_links_open(explainer: Explainer) -> None:
    story = tell(explainer, explainer.decide(3))
    stored = to_snapshot(story)
    assert from_snapshot(stored) == story
    del stored["explanation"]["test"]["source"]
    for side in ("supporting", "opposing"):
        stored["explanation"][side] = [dict(part) for part in stored["explanation"][side]]
        for part in stored["explanation"][side]:
            del part["source"]
    assert from_snapshot(stored).explanation.test.source is None
