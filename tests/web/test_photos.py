"""Photographs in the interface: bounded in bytes, in their own aspect, heat-maps where the network looked."""

from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.photos import CROP, RESIZE, RUN_ID, SIZES, make_photos
from xda.explanation.run import Explainer
from xda.settings import Settings
from xda.web.factory import create_app


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def client(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(home=tmp_path_factory.mktemp("home"), runs=str(run), device="cpu", allow_factory="tests.photos")
    app = create_app(settings)
    with TestClient(app) as client:
        app.state.lifecycle.wait(30)
        yield client


@pytest.fixture(scope="module")
def explainer(run: Path) -> Iterator[Explainer]:
    with Explainer.open(run, device="cpu", allow_factory=["tests.photos"]) as explainer:
        yield explainer


def sources(page: str, marker: str = "/media/") -> list[str]:
    return [url.replace("&amp;", "&") for url in re.findall(r'<img [^>]*src="([^"]+)"', page) if marker in url]


def test_gallery_thumbnails_keep_aspect_of_originals(client: TestClient, explainer: Explainer) -> None:
    urls = sources(client.get(f"/r/{RUN_ID}").text)
    assert len(urls) == 10
    stored = sum(len(explainer.image("test", i)[0]) for i in range(10))
    answers = [client.get(url) for url in urls]
    assert all(len(answer.content) < 30_000 for answer in answers)
    assert stored > 4 * sum(len(answer.content) for answer in answers)
    for i, answer in enumerate(answers):
        with Image.open(io.BytesIO(answer.content)) as image:
            width, height = explainer.images.place("test", i).original
            assert max(image.size) <= 168
            assert image.width / image.height == pytest.approx(width / height, rel=0.02)
            assert answer.headers["content-type"] == Image.MIME[image.format or ""]
            assert "immutable" in answer.headers["cache-control"]


def test_large_photo_is_bounded_on_page_and_whole_as_original(client: TestClient, explainer: Explainer) -> None:
    large = next(i for i in range(10) if explainer.images.place("test", i).original == (2400, 1600))
    base = f"/media/{explainer.digest[:16]}/test/{large}"
    with Image.open(io.BytesIO(client.get(base).content)) as shown:
        assert shown.size == (1024, 683)
    whole = client.get(base, params={"size": "original"})
    assert whole.content == explainer.image("test", large)[0]
    assert whole.headers["content-type"] == "image/jpeg"
    assert client.get(base, params={"size": "huge"}).status_code == 422
    assert client.get(f"/media/{explainer.digest[:16]}/test/999").status_code == 404


def test_image_unfit_for_browsers_is_sent_decoded(client: TestClient, explainer: Explainer) -> None:
    kinds = {}
    for j in range(explainer.n_train):
        original, kind = explainer.image("train", j)
        shown = client.get(f"/media/{explainer.digest[:16]}/train/{j}")
        with Image.open(io.BytesIO(shown.content)) as image:
            assert image.mode in ("L", "RGB")
            assert image.getexif().get(0x0112, 1) == 1
        with Image.open(io.BytesIO(original)) as image:
            plain = image.format == "JPEG" and image.getexif().get(0x0112, 1) == 1 and max(image.size) <= 1024
        assert (shown.content == original) == plain
        kinds[kind] = shown.headers["content-type"]
    assert kinds == {"image/jpeg": "image/jpeg", "image/tiff": "image/jpeg", "image/png": "image/jpeg"}


def test_heatmap_layer_covers_network_input(client: TestClient, explainer: Explainer) -> None:
    page = client.get(f"/r/{RUN_ID}/test/0").text
    maps = sources(page, "/relevance/")
    assert maps
    assert all(".svg" in url for url in maps)
    answer = client.get(maps[0])
    assert answer.headers["content-type"] == "image/svg+xml"
    svg = ET.fromstring(answer.text)
    width, height = explainer.images.place("test", 0).original
    assert (svg.get("width"), svg.get("height"), svg.get("viewBox")) == (
        str(width),
        str(height),
        f"0 0 {width} {height}",
    )
    (inner,) = svg
    size = float(inner.get("width", "0")), float(inner.get("height", "0"))
    # The network resizes the shorter side to RESIZE pixels and keeps the middle CROP.
    assert min(size) == pytest.approx(min(width, height) * CROP / RESIZE, rel=1e-4)
    assert float(inner.get("x", "0")) + size[0] / 2 == pytest.approx(width / 2, abs=0.6 * width / RESIZE)
    assert float(inner.get("y", "0")) + size[1] / 2 == pytest.approx(height / 2, abs=0.6 * height / RESIZE)
    assert inner.get("preserveAspectRatio") == "none"
    png = base64.b64decode(inner.get("href", "").removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(png)) as image:
        assert image.size == (CROP, CROP)
    assert client.get(maps[0].replace(".svg", ".png")).content == png


def test_pair_page_gives_position_of_maps(client: TestClient, explainer: Explainer) -> None:
    told = explainer.explain(0, limit=1)
    partner = (*told.supporting, *told.opposing)[0].index
    page = client.get(f"/r/{RUN_ID}/test/0/train/{partner}").text
    found = re.findall(r'<canvas class="map" width="(\d+)" height="(\d+)" [^>]*data-box="([^"]+)"', page)
    assert len(found) == 2
    for (columns, rows, box), where in zip(
        found, (explainer.images.place("test", 0), explainer.images.place("train", partner)), strict=True
    ):
        assert (int(columns), int(rows)) == where.grid == (CROP, CROP)
        left, top, width, height = (float(share) / 100 for share in box.split())
        side, seen = max(where.original), where.seen
        assert (width, height) == pytest.approx((seen.width / side, seen.height / side), rel=1e-5)
        # the picture stands in the middle of its square
        assert left == pytest.approx(((side - where.original[0]) / 2 + seen.left) / side, abs=1e-5)
        assert top == pytest.approx(((side - where.original[1]) / 2 + seen.top) / side, abs=1e-5)


def test_shared_link_keeps_layers_and_bounded_pictures(client: TestClient, explainer: Explainer) -> None:
    large = next(i for i in range(10) if explainer.images.place("test", i).original == (2400, 1600))
    told = explainer.explain(large, limit=1)
    link = client.post("/api/v1/links", json={"run": RUN_ID, "test": large, "target": told.target}).json()["id"]
    kept = client.get(f"/s/{link}/media/map-own")
    assert kept.headers["content-type"] == "image/svg+xml"
    with Image.open(io.BytesIO(client.get(f"/s/{link}/media/test").content)) as image:
        assert max(image.size) == 1024
    with Image.open(io.BytesIO(client.get(f"/s/{link}/media/card").content)) as image:
        assert image.size == (1200, 630)


def test_figure_is_drawn_for_every_kind_of_image(client: TestClient) -> None:
    answer = client.get(f"/r/{RUN_ID}/test/2/explanation.png", params={"shown": 24})
    assert answer.status_code == 200
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.format == "PNG"


def test_list_of_runs_names_left_out_images(client: TestClient) -> None:
    page = client.get("/").text
    assert "1 image left out as unusable (1 for training, 0 for testing)" in page
    assert "93.jpg: the file is empty" in page


def test_test_images_include_every_size(explainer: Explainer) -> None:
    assert {explainer.images.place("test", i).original for i in range(10)} == set(SIZES)
