"""The SVG of a figure: its texts, the images that it embeds and its size."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.data.image_files import encode
from tests.present.test_png_figure import material
from xda.attribution.results import PairRelevance
from xda.data.decoding import dimensions
from xda.data.preprocessing import Preprocessing
from xda.explanation.run import Explainer
from xda.present.canvas import Canvas, Picture
from xda.present.colour import rgba
from xda.present.embedded import STEP, compact, layer_png
from xda.present.png_figure import Drawn, explanation_canvas
from xda.present.portable import pdf
from xda.present.story import Story, tell
from xda.present.vector import svg

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def told(explainer: Explainer) -> Story:
    return tell(explainer, explainer.decide(14, against=9), limit=3)


def content_of(image: ET.Element) -> bytes:
    return base64.b64decode(image.get("href", "").partition(",")[2])


def test_svg_has_every_text_as_text_of_its_measured_width(told: Story) -> None:
    canvas = explanation_canvas(told, material(told))
    root = ET.fromstring(svg(canvas))
    found = list(root.iter(f"{SVG}text"))
    assert [each.text for each in found] == [each.words for each in canvas.texts]
    for each, text in zip(found, canvas.texts, strict=True):
        assert float(each.get("textLength", "0")) == pytest.approx(text.width, rel=1e-4)
    assert root.findtext(f"{SVG}title") == "Why 4 and not 9?"
    assert (root.get("width"), root.get("height")) == (str(canvas.width), str(canvas.height))


def test_svg_embeds_each_image_once_with_its_own_pixels(told: Story) -> None:
    drawn = material(told)
    originals = {index: flat_of(index) for index in drawn.train_images}
    canvas = explanation_canvas(told, replace(drawn, train_images=originals))
    root = ET.fromstring(svg(canvas))
    (defs,) = root.iter(f"{SVG}defs")
    assert sorted(map(content_of, defs)) == sorted({drawn.test_image, *originals.values()})
    names = {each.get("id") for each in defs}
    uses = [each.get("href", "")[1:] for each in root.iter(f"{SVG}use")]
    assert set(uses) == names
    assert len(uses) == sum(isinstance(item, Picture) for item in canvas.items)


def flat_of(index: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8), index % 256).save(buffer, "PNG")
    return buffer.getvalue() + index.to_bytes(4)


def test_svg_map_is_a_transparent_layer_of_the_same_pixels(told: Story) -> None:
    drawn = material(told)
    root = ET.fromstring(svg(explanation_canvas(told, drawn)))
    layers = [each for each in root.iter(f"{SVG}image") if each.get("id") is None]
    assert len(layers) == 2 * len(drawn.pairs) + 3
    expected = {rgba(sign * drawn.evidence[0].test, 1.0).tobytes() for sign in (1, -1)}
    for layer in layers:
        with Image.open(io.BytesIO(content_of(layer))) as image:
            assert image.convert("RGBA").tobytes() in expected


def test_svg_escapes_words_and_drops_control_characters() -> None:
    canvas = Canvas(400, 100, "<script>\x00")
    canvas.text((0, 0), "<b>\x00cats & dogs\x1f\ufffe</b>", 20, room=400)
    root = ET.fromstring(svg(canvas))
    assert [each.text for each in root.iter(f"{SVG}text")] == ["<b>cats & dogs</b>"]
    assert root.findtext(f"{SVG}title") == "<script>"


def test_large_map_keeps_its_opacity_to_one_percent() -> None:
    relevance = np.random.default_rng(0).normal(size=(224, 224)).astype(np.float32)
    painted = Image.fromarray(rgba(relevance, 3.0))
    kept = np.asarray(compact(painted)).astype(int)
    given = np.asarray(painted).astype(int)
    assert np.abs(kept[..., 3] - given[..., 3]).max() <= STEP // 2
    seen = kept[..., 3] > 0
    np.testing.assert_array_equal(kept[seen][:, :3], given[seen][:, :3])
    with Image.open(io.BytesIO(layer_png(painted))) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGBA")), kept)


def test_small_map_is_embedded_exactly() -> None:
    relevance = np.random.default_rng(0).normal(size=(28, 28)).astype(np.float32)
    with Image.open(io.BytesIO(layer_png(Image.fromarray(rgba(relevance, 3.0))))) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGBA")), rgba(relevance, 3.0))


def jpeg(seed: int) -> bytes:
    """Return a photograph of 800 x 600 pixels with soft and with sharp parts."""
    rng = np.random.default_rng(seed)
    soft, sharp = (
        np.asarray(
            Image.fromarray(rng.integers(0, 256, (rows, rows, 3), dtype=np.uint8)).resize((800, 600)), dtype=np.float64
        )
        for rows in (12, 100)
    )
    return encode(Image.fromarray((0.7 * soft + 0.3 * sharp).astype(np.uint8)), "JPEG", quality=92)


def photographs(story: Story) -> Drawn:
    """Return photographs of 800 x 600 pixels, each with two maps of 224 x 224."""
    listed = story.explanation.listed
    rng = np.random.default_rng(1)

    def relevance() -> NDArray[np.float32]:
        # as in the clothing demonstration: of one sign, the median a quarter of full colour
        return np.abs(rng.normal(size=(224, 224))).astype(np.float32)

    return Drawn(
        test_image=jpeg(0),
        train_images={index: jpeg(index) for index in listed},
        evidence=[PairRelevance(-1, relevance(), relevance(), 0.0) for _ in range(3)],
        pairs={index: PairRelevance(index, relevance(), relevance(), 0.0) for index in listed},
        preprocessing=Preprocessing(mode="RGB", size=(224, 224), mean=(0.5,) * 3, std=(0.5,) * 3, resize=256),
    )


def test_vector_files_of_24_photographs_stay_under_4_megabytes(explainer: Explainer) -> None:
    story = tell(explainer, explainer.decide(14), limit=1)
    told = story.explanation
    supporting, opposing = (
        tuple(replace(side[0], index=first + k) for k in range(12))
        for side, first in ((told.supporting, 0), (told.opposing, 12))
    )
    story = replace(story, explanation=replace(told, supporting=supporting, opposing=opposing))
    canvas = explanation_canvas(story, photographs(story))
    for content in (svg(canvas), pdf(canvas)):
        assert 200_000 < len(content) < 4_000_000
    root = ET.fromstring(svg(canvas))
    (defs,) = root.iter(f"{SVG}defs")
    assert max(max(dimensions(content_of(each))) for each in defs) <= 2 * 248
