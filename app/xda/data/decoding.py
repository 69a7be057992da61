"""Decoding of image files to pixels: upright, eight bits a channel, without transparency.

All files become pixels here: the network, the pages, the check of a data set and shared pictures use the same pixels.
"""

from __future__ import annotations

import io
import struct
from typing import Literal

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from xda.errors import DataError

MOST_PIXELS = 89_478_485
"""Images with more pixels are refused as decompression bombs: Pillow's own limit, 256 MiB of RGB."""

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""The formats that are tried, in Pillow's names. Some of the others run programs (EPS: Ghostscript)."""

_ORIENTATION = int(ExifTags.Base.Orientation)
_BITS_PER_SAMPLE, _SAMPLE_FORMAT = 258, 339
"""Tags of TIFF; the second is 1 for whole numbers without a sign."""
_PNG = b"\x89PNG\r\n\x1a\n"
_SHOWN_BY_BROWSERS = {"PNG": ("1", "L", "RGB", "P"), "JPEG": ("L", "RGB"), "WEBP": ("RGB",)}


class BadImageError(DataError):
    """The bytes are not a usable image.

    Parameters
    ----------
    reason : str
        Why, without an article or a full stop: ``it is truncated``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"An image cannot be decoded ({reason}); use a PNG or JPEG file.")
        self.reason = reason


def decode(data: bytes, mode: Literal["L", "RGB"] | None = None, *, longest: int | None = None) -> Image.Image:
    """Decode the first frame of an image file, whose format is recognised by its content.

    Turned upright as its EXIF data say. Grey of 9 to 16 bits is
    scaled to 8 by the depth that the file declares (Pillow would cut it off at 255). Transparency
    is dropped and leaves the colours beneath, as torchvision's loader does, so that the network sees what it was
    trained on.

    Parameters
    ----------
    data : bytes
        A file in one of the ``FORMATS``.
    mode : {"L", "RGB"}, optional
        Grey or colour; by default as in the file.
    longest : int, optional
        Permission to decode a JPEG at a fraction of its size (an eighth, a quarter, half), where both sides of the
        result are still at least so many pixels.

    Returns
    -------
    Image.Image
        Of mode L or RGB.

    Raises
    ------
    BadImageError
        If the bytes are no image, are damaged, or have more than ``MOST_PIXELS`` pixels.
    """
    return read(data, mode, longest=longest)[0]


def read(
    data: bytes, mode: Literal["L", "RGB"] | None = None, *, longest: int | None = None
) -> tuple[Image.Image, bool]:
    """Return what ``decode`` returns, and whether torchvision's default loader gives other pixels.

    That loader (``ImageFolder``'s, Pillow's ``convert("RGB")``) does not turn an image as its EXIF data say, and cuts
    grey of more than 8 bits off at 255. A network that was trained with it saw such images otherwise.
    """
    if not data:
        raise BadImageError("the file is empty")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise BadImageError(_too_large(image.width, image.height))
            if longest is not None:
                image.draft(None, (longest, longest))
            image.load()
            white = _white(image)
            # Pillow has already turned TIFF files
            turned = _orientation(image) != 1
            flat = eight_bit(ImageOps.exif_transpose(image) if turned else image, white)
            return flat.convert(mode or flat.mode), turned or image.mode.startswith("I")
    except (BadImageError, MemoryError):
        raise
    # Given a damaged file, decoders raise OSError, SyntaxError, struct.error, IndexError and more
    except Exception as error:
        raise BadImageError(_reason(error)) from None


def eight_bit(image: Image.Image, white: int | None = None) -> Image.Image:
    """Return an image as mode L or RGB, without transparency.

    Parameters
    ----------
    image : Image.Image
    white : int, optional
        The value of white in an image of whole numbers; by default the one that the image declares.

    Raises
    ------
    BadImageError
        If the scale of its values is unknown.
    """
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
        white = white or _white(image)
        if white is None or low < 0 or high > white:
            raise BadImageError(f"it holds grey values from {low} to {high}, and {_unknown_range(image)}")
        return Image.fromarray(np.rint(values * (255 / white)).astype(np.uint8))
    if image.mode == "F":
        raise BadImageError("it holds floating-point numbers, whose range is not known")
    if "transparency" in image.info:
        # with it, Pillow warns that the conversion drops transparency, which is intended
        image = image.copy()
        del image.info["transparency"]
    if image.mode == "PA":
        image = image.convert("RGBA")
    return image.convert("L" if image.mode in ("1", "L", "LA", "La") else "RGB")


def dimensions(data: bytes) -> tuple[int, int]:
    """Return (width, height) in pixels of the upright image, from the file's header.

    Raises
    ------
    BadImageError
        If the bytes are no image.
    """
    if data[:8] == _PNG and len(data) >= 24 and b"eXIf" not in data:
        width, height = struct.unpack(">II", data[16:24])
        return int(width), int(height)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            return (height, width) if _orientation(image) >= 5 else (width, height)
    except Exception as error:
        raise BadImageError(_reason(error)) from None


def media_type(data: bytes) -> str:
    """Return the media type of an image file from its content; ``application/octet-stream`` where it is unknown."""
    if data[:8] == _PNG:
        return "image/png"
    if data[:3] == b"\xff\xd8\xff":
        return "image/jpeg"
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return Image.MIME.get(image.format or "", "application/octet-stream")
    except Exception:
        return "application/octet-stream"


def is_shown_alike(data: bytes) -> bool:
    """Whether every browser shows an image file as ``decode`` does: its format, no transparency, upright, no frames."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return (
                image.mode in _SHOWN_BY_BROWSERS.get(image.format or "", ())
                and "transparency" not in image.info
                and getattr(image, "n_frames", 1) == 1
                and _orientation(image) == 1
            )
    except Exception:
        return False


def _white(image: Image.Image) -> int | None:
    """Return the value of white in grey of more than 8 bits, if the file declares its depth."""
    declared = getattr(image, "tag_v2", {})
    if declared:
        bits, signed = (max(np.atleast_1d(declared.get(tag, 1))) for tag in (_BITS_PER_SAMPLE, _SAMPLE_FORMAT))
        return 2 ** int(bits) - 1 if int(bits) <= 16 and int(signed) == 1 else None
    # Pillow brings JPEG 2000 and PPM of more than 8 bits to the range of 16
    return 65_535 if image.mode.startswith("I;16") or image.format == "PPM" else None


def _unknown_range(image: Image.Image) -> str:
    depth = "16-bit numbers with a sign" if getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE) == (16,) else "32 bits"
    return f"of {depth} it is not known which value is white; convert it to 8 or 16 bits without a sign"


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        # an image with damaged EXIF data is still usable
        return 1


def _too_large(width: int, height: int) -> str:
    return f"it has {width} x {height} pixels, more than {MOST_PIXELS // 10**6} million: a decompression bomb?"


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"it has more than {MOST_PIXELS // 10**6} million pixels: a decompression bomb?"
    if isinstance(error, UnidentifiedImageError):
        return f"it is no image, or of a format that is not read ({', '.join(FORMATS)} are)"
    words = " ".join(str(error).split()).rstrip(".")
    return f"it is damaged: {words[:120]}" if words else f"it is damaged: {type(error).__name__}"
