"""The PDF of a figure, read and drawn by another program: its texts, its images, and that it looks like the PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.present.test_png_figure import flat, material, pixels
from xda.data.geometry import Box, Place
from xda.explanation.run import Explainer
from xda.present import canvas as canvas_module
from xda.present.canvas import Canvas
from xda.present.colour import rgba
from xda.present.png_figure import explanation_canvas
from xda.present.portable import POINTS, pdf
from xda.present.raster import png
from xda.present.story import tell


@pytest.fixture(scope="module")
def canvas(explainer: Explainer) -> Canvas:
    story = tell(explainer, explainer.decide(14, against=9), limit=3)
    return explanation_canvas(story, material(story))


def lines(content: bytes) -> list[str]:
    """Return the lines of text on the page, as a reader selects them."""
    document = pypdfium2.PdfDocument(content)
    text: str = document[0].get_textpage().get_text_range()
    document.close()
    return text.split()


def drawn(content: bytes) -> NDArray[np.uint8]:
    document = pypdfium2.PdfDocument(content)
    assert len(document) == 1
    image = np.asarray(document[0].render(scale=1 / POINTS).to_pil().convert("RGB"))
    document.close()
    return image


def test_pdf_has_every_text_as_text(canvas: Canvas) -> None:
    words = [word for each in canvas.texts for word in each.words.split()]
    assert sorted(lines(pdf(canvas))) == sorted(words)


def test_pdf_looks_like_the_png(canvas: Canvas) -> None:
    given, expected = drawn(pdf(canvas)).astype(int), pixels(png(canvas)).astype(int)
    assert given.shape == expected.shape
    # letters are hinted otherwise, so in the mean over 16 x 16 pixels; and exactly in the middle of a picture
    assert np.abs(blocks(given) - blocks(expected)).max() < 32
    for left, top, right, bottom in canvas.pictures[:-1]:
        x, y = round(0.8 * left + 0.2 * right), round((top + bottom) / 2)
        np.testing.assert_allclose(given[y, x], expected[y, x], atol=3)


def blocks(image: NDArray[Any]) -> NDArray[np.float64]:
    height, width = (16 * (length // 16) for length in image.shape[:2])
    return np.asarray(image[:height, :width].reshape(height // 16, 16, width // 16, 16, 3).mean(axis=(1, 3)))


def test_pdf_embeds_each_image_once(canvas: Canvas) -> None:
    # two greys; layers of either sign in both sizes, that of the pairs and that of the middle; a mask for each size
    assert pdf(canvas).count(b"/Subtype /Image") == 2 + 4 + 2


def test_pdf_keeps_maps_of_one_sign_and_two_strengths_apart() -> None:
    canvas = Canvas(200, 100)
    where = Place((8, 8), Box(0.0, 0.0, 8.0, 8.0), (8, 8))
    for place, share in enumerate((1.0, 0.25)):
        painted = Image.fromarray(rgba(np.full((8, 8), share, np.float32), 1.0))
        canvas.covered(flat(200), painted, where, 10 + 90 * place, 10, 80)
    found, expected = drawn(pdf(canvas)), pixels(png(canvas))
    for x in (50, 140):
        np.testing.assert_allclose(found[50, x].astype(int), expected[50, x].astype(int), atol=3)
    assert np.abs(expected[50, 50].astype(int) - expected[50, 140]).max() > 20


def test_pdf_of_one_canvas_has_the_same_bytes_again(canvas: Canvas) -> None:
    assert pdf(canvas) == pdf(canvas)


def test_pdf_without_the_vendored_font_keeps_its_words(
    canvas: Canvas, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(canvas_module, "resource_dir", lambda _: tmp_path)
    canvas_module.font_of.cache_clear()
    try:
        found = lines(pdf(canvas))
    finally:
        monkeypatch.undo()
        canvas_module.font_of.cache_clear()
    assert "surrogate's" in found
    assert "Why" in found
