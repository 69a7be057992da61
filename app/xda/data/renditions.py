"""Images for the page: the original if browsers show it as the network sees it, else a copy of bounded size.

A gallery of photographs sends thumbnails, not sixty originals. Transparent images, and formats that browsers do not
know, are shown as the network's decoder gives them.
"""

from __future__ import annotations

import io
import struct
from typing import Literal

from PIL import Image

from xda.data.decoding import decode, dimensions, is_shown_alike, media_type

Size = Literal["view", "thumb"]
LONGEST: dict[Size, int] = {"view": 1024, "thumb": 168}
"""Most pixels of the longer side; the page shows thumbnails 84 wide, which screens may draw with twice the pixels."""
MOST_BYTES: dict[Size, int] = {"view": 600_000, "thumb": 30_000}
"""An original with more bytes is replaced by a rendition."""
_LOSSLESS_PIXELS = 128 * 128
_QUALITY = 88
_EMBEDDED_BYTES = 0.4
"""For each pixel of the square that holds it; a file with more has much beside its pixels."""
_PNG = b"\x89PNG\r\n\x1a\n"


def original_will_do(data: bytes, size: Size) -> bool:
    """Whether a page can show the original itself, by its format and size."""
    if len(data) > MOST_BYTES[size]:
        return False
    if _is_plain_png(data):
        width, height = struct.unpack(">II", data[16:24])
        return bool(max(width, height) <= LONGEST[size])
    return is_shown_alike(data) and max(dimensions(data)) <= LONGEST[size]


def rendition(data: bytes, size: Size) -> bytes:
    """Return an image as a PNG or JPEG of bounded size, upright, with its aspect ratio kept.

    Parameters
    ----------
    data : bytes
        The original.
    size : {"view", "thumb"}

    Raises
    ------
    BadImageError
        If it cannot be decoded.
    """
    return _bounded(data, LONGEST[size])


def embeddable(data: bytes, longest: int) -> bytes:
    """Return an image as PNG or JPEG to embed in a document: the file itself if it is one of that size, else a copy.

    Parameters
    ----------
    data : bytes
        The original.
    longest : int
        Most pixels of the longer side.

    Raises
    ------
    BadImageError
        If it cannot be decoded.
    """
    small = len(data) <= longest**2 * _EMBEDDED_BYTES and max(dimensions(data)) <= longest
    fits = small and media_type(data) in ("image/png", "image/jpeg") and is_shown_alike(data)
    return data if fits else _bounded(data, longest)


def _bounded(data: bytes, longest: int) -> bytes:
    image = decode(data, longest=longest)
    if max(image.size) > longest:
        image.thumbnail((longest, longest), Image.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = io.BytesIO()
    if image.width * image.height <= _LOSSLESS_PIXELS:
        image.save(buffer, "PNG")
    else:
        image.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def _is_plain_png(data: bytes) -> bool:
    """Whether the bytes are a PNG of 8 bits a channel, grey or RGB, without transparency, EXIF data and animation."""
    return (
        data[:8] == _PNG
        and len(data) > 26
        and data[24] == 8
        and data[25] in (0, 2)
        and not any(chunk in data for chunk in (b"tRNS", b"eXIf", b"acTL"))
    )
