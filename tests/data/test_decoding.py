"""Tests of xda.data.decoding."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.data.image_files import BAD, BOTTOM, GOOD, HEIGHT, TOP, WIDTH, encode, exif, grey, noise_jpeg
from xda.data.decoding import BadImageError, decode, dimensions, eight_bit, is_shown_alike, media_type, read

ODD = {"bilevel.png": (255, 0)}


@pytest.mark.parametrize("mode", ["L", "RGB", None])
@pytest.mark.parametrize("name", GOOD)
def test_decode_of_every_kind_is_upright_and_keeps_brightness(name: str, mode: str | None) -> None:
    data = GOOD[name]()
    image = decode(data, mode)  # type: ignore[arg-type]
    assert image.mode in ({mode} if mode else {"L", "RGB"})
    assert image.size == (WIDTH, HEIGHT)
    assert dimensions(data) == (WIDTH, HEIGHT)
    pixels = np.asarray(image.convert("RGB")).astype(int)
    top, bottom = ODD.get(name, (TOP, BOTTOM))
    # lossy formats mix the rows at the edge
    assert np.abs(pixels[: HEIGHT // 2 - 4] - top).max() <= 3
    assert np.abs(pixels[HEIGHT // 2 + 4 :] - bottom).max() <= 3


@pytest.mark.parametrize("name", BAD)
def test_decode_of_an_unusable_file_says_why(name: str) -> None:
    make, words = BAD[name]
    with warnings.catch_warnings():
        # as in production, which ignores Pillow's warning
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with pytest.raises(BadImageError, match="cannot be decoded") as caught:
            decode(make())
    assert words in caught.value.reason
    assert "0x" not in caught.value.reason


def test_decode_of_too_many_pixels_is_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    from xda.data import decoding

    monkeypatch.setattr(decoding, "MOST_PIXELS", WIDTH * HEIGHT - 1)
    with pytest.raises(BadImageError, match="30 x 20 pixels"):
        decode(encode(grey()))


def test_decode_at_a_fraction_refuses_a_truncated_photograph() -> None:
    whole = noise_jpeg()
    assert decode(whole, longest=16).size == (20, 20)
    with pytest.raises(BadImageError, match="truncated"):
        decode(whole[:-1500], longest=16)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_dimensions_of_a_rotated_file_are_those_of_the_upright_image(orientation: int) -> None:
    for kind in ("PNG", "JPEG"):
        data = encode(grey(), kind, exif=exif(orientation))
        assert dimensions(data) == decode(data).size


def test_decode_with_damaged_exif_data_still_gives_the_image() -> None:
    data = encode(grey(), "JPEG", exif=b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\xff\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert decode(data).size == (WIDTH, HEIGHT)


def test_eight_bit_leaves_the_callers_image_as_it_is() -> None:
    image = Image.new("P", (2, 2))
    image.info["transparency"] = b"\0\0"
    eight_bit(image)
    assert image.info["transparency"] == b"\0\0"


def test_is_shown_alike_holds_only_where_browsers_show_the_same() -> None:
    alike = {name for name in GOOD if is_shown_alike(GOOD[name]())}
    assert alike == {
        "grey.png",
        "colour.png",
        "photo.jpg",
        "bilevel.png",
        "palette.png",
        "wrong-extension.png",
        "lossless.webp",
    }
    assert not is_shown_alike(b"no image")


def torchvision_pixels(data: bytes) -> NDArray[np.uint8]:
    """Return the pixels that ``torchvision.datasets.folder.pil_loader`` reads from a file."""
    with warnings.catch_warnings(), Image.open(io.BytesIO(data)) as image:
        warnings.filterwarnings("ignore", "Palette images with Transparency")
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("name", GOOD)
def test_read_reports_where_torchvisions_loader_gives_other_pixels(name: str) -> None:
    data = GOOD[name]()
    image, otherwise = read(data, "RGB")
    assert otherwise == (not np.array_equal(np.asarray(image), torchvision_pixels(data)))
    assert otherwise == (name in {"rotated.jpg", "sixteen-bit.png", "sixteen-bit.tif", "twelve-bit.tif", "ten-bit.pgm"})


def test_eight_bit_of_32_bits_in_memory_is_refused() -> None:
    with pytest.raises(BadImageError, match="from 0 to 200, and of 32 bits"):
        eight_bit(Image.fromarray(np.array([[0, 200]], dtype=np.int32)))


def test_eps_named_jpg_runs_no_ghostscript(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was run"))
    for use in (decode, dimensions):
        with pytest.raises(BadImageError, match="format that is not read"):
            use(BAD["vector.jpg"][0]())
    assert media_type(BAD["vector.jpg"][0]()) == "application/octet-stream"
    assert not is_shown_alike(BAD["vector.jpg"][0]())


def test_media_type_follows_from_the_content() -> None:
    assert media_type(GOOD["wrong-extension.png"]()) == "image/jpeg"
    assert media_type(GOOD["grey.png"]()) == "image/png"
    assert media_type(GOOD["animated.gif"]()) == "image/gif"
    assert media_type(b"no image") == "application/octet-stream"


def test_dimensions_of_a_file_that_is_no_image_are_refused() -> None:
    with pytest.raises(BadImageError):
        dimensions(b"no image")
