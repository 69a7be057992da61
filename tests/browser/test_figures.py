"""The SVG of a figure as a browser draws it looks like the PNG."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser

from tests.conftest import Served
from xda.explanation.run import Explainer

PARTS = 16
"""Pixels a side of the blocks that are compared: letters are drawn otherwise by each program."""


def blocks(content: bytes) -> NDArray[np.float64]:
    with Image.open(io.BytesIO(content)) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=np.float64)
    height, width = (PARTS * (length // PARTS) for length in pixels.shape[:2])
    parts = pixels[:height, :width].reshape(height // PARTS, PARTS, width // PARTS, PARTS, 3)
    return np.asarray(parts.mean(axis=(1, 3)))


@pytest.mark.parametrize("name", ["explanation", "pair"])
def test_svg_in_browser_looks_like_the_png(
    chromium: Browser, served_world: Served, explainer: Explainer, tmp_path: Path, name: str
) -> None:
    train = explainer.explain(14, limit=1).opposing[0].index
    context = chromium.new_context()
    base = f"{served_world.url}/r/digits/test/14/" + ("" if name == "explanation" else f"train/{train}/")
    svg, png = (context.request.get(f"{base}{name}.{kind}?target=4").body() for kind in ("svg", "png"))
    root = ET.fromstring(svg)
    width, height = int(root.get("width", "")), int(root.get("height", ""))
    path = tmp_path / "figure.svg"
    path.write_bytes(svg)
    page = context.new_page()
    page.set_viewport_size({"width": width, "height": height})
    page.goto(path.as_uri())
    shown = page.screenshot()
    context.close()
    with Image.open(io.BytesIO(png)) as image:
        assert image.size == (width, height)
    difference = np.abs(blocks(shown) - blocks(png))
    assert difference.max() < 32
    assert difference.mean() < 0.5
