"""One small image of every usable and of every unusable kind."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HEIGHT, WIDTH = 20, 30
TOP, BOTTOM = 200, 40
"""Grey levels of the two halves of every good image; they show whether it is upright."""


def halves(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """Return a grey image, bright above and dark below."""
    pixels = np.full((height, width), BOTTOM, dtype=np.uint8)
    pixels[: height // 2] = TOP
    return pixels


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Return an image as a file."""
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def grey() -> Image.Image:
    return Image.fromarray(halves())


def exif(orientation: int) -> Image.Exif:
    """Return EXIF data that say how to turn an image."""
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def palette_with_transparency() -> bytes:
    """Return a palette image whose colours have opacities of their own."""
    image = Image.fromarray((halves() == TOP).astype(np.uint8)).convert("P")
    image.putpalette([BOTTOM] * 3 + [TOP] * 3)
    return encode(image, transparency=bytes([128, 0]))


def with_alpha() -> bytes:
    """Return a fully transparent colour image."""
    image = grey().convert("RGBA")
    image.putalpha(0)
    return encode(image)


def animated() -> bytes:
    """Return a GIF with two frames; the first one counts."""
    return encode(grey(), "GIF", save_all=True, append_images=[Image.new("L", (WIDTH, HEIGHT), 255)])


def sixteen_bit() -> Image.Image:
    return Image.fromarray(halves().astype(np.uint16) * 257)


def tiff(bits: int, payload: bytes, sample_format: int = 1) -> bytes:
    """Return a grey TIFF file of a depth that Pillow does not write."""
    tags = {256: WIDTH, 257: HEIGHT, 258: bits, 259: 1, 262: 1, 273: 0, 277: 1, 278: HEIGHT, 279: 0, 339: sample_format}
    tags |= {273: 8 + 2 + 12 * len(tags) + 4, 279: len(payload)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0) + payload


def packed_in_twelve(values: NDArray[np.int64]) -> bytes:
    """Return rows of values of 12 bits, two in three bytes."""
    first, second = values[:, ::2], values[:, 1::2]
    return np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=-1).astype(np.uint8).tobytes()


def bomb() -> bytes:
    """Return a PNG of some hundred bytes that claims to have 10,000,000,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def noise_jpeg() -> bytes:
    return encode(Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 80, 3)).astype(np.uint8)), "JPEG")


GOOD: dict[str, Callable[[], bytes]] = {
    "grey.png": lambda: encode(grey()),
    "colour.png": lambda: encode(grey().convert("RGB")),
    "photo.jpg": lambda: encode(grey().convert("RGB"), "JPEG", quality=95),
    "bilevel.png": lambda: encode(grey().point(lambda v: 255 * (v > 100)).convert("1")),
    "palette.png": lambda: encode(grey().convert("P")),
    "transparent-palette.png": palette_with_transparency,
    "transparent.png": with_alpha,
    "grey-alpha.png": lambda: encode(grey().convert("LA")),
    "sixteen-bit.png": lambda: encode(sixteen_bit()),
    "sixteen-bit.tif": lambda: encode(sixteen_bit(), "TIFF"),
    "twelve-bit.tif": lambda: tiff(12, packed_in_twelve(halves().astype(int) * 4095 // 255)),
    "ten-bit.pgm": lambda: b"P5 30 20 1023 " + (halves().astype(int) * 1023 // 255).astype(">u2").tobytes(),
    "rotated.jpg": lambda: encode(
        grey().transpose(Image.Transpose.ROTATE_90).convert("RGB"), "JPEG", quality=95, exif=exif(6)
    ),
    "cmyk.jpg": lambda: encode(grey().convert("CMYK"), "JPEG", quality=95),
    "cmyk.tiff": lambda: encode(grey().convert("CMYK"), "TIFF"),
    "wrong-extension.png": lambda: encode(grey().convert("RGB"), "JPEG", quality=95),
    "animated.gif": animated,
    "lossless.webp": lambda: encode(grey().convert("RGB"), "WEBP", lossless=True),
    "LOUD.BMP": lambda: encode(grey(), "BMP"),
}
BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.png": (lambda: b"", "empty"),
    "text.jpg": (lambda: b"this is no image", "no image"),
    "truncated.jpg": (lambda: noise_jpeg()[:-1500], "truncated"),
    "truncated.png": (lambda: encode(Image.effect_noise((64, 64), 50))[:600], "damaged"),
    "bomb.png": (bomb, "bomb"),
    "float.tif": (lambda: encode(Image.new("F", (9, 9), 0.5), "TIFF"), "floating-point"),
    "thirty-two-bit.tif": (
        lambda: encode(Image.fromarray(halves().astype(np.int32)), "TIFF"),
        "from 40 to 200, and of 32 bits it is not known which value is white",
    ),
    "signed.tif": (lambda: tiff(16, halves().astype("<i2").tobytes(), sample_format=2), "numbers with a sign"),
    "vector.jpg": (lambda: encode(grey().convert("RGB"), "EPS"), "of a format that is not read"),
}
