"""Preprocessing of image files for a network: decode, convert, resize, scale to [0, 1], normalise per channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from xda.data import decoding
from xda.data.geometry import crop_offset, resized_size
from xda.errors import ConfigError, DataError

Interpolation = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
NEEDED = ("mode", "size", "mean", "std")
"""Required fields of a preprocessing."""
MOST_PIXELS = 2**24
"""A network's input may have so many pixels, 4,096 x 4,096: a colour image then takes 200 MB."""
LONGEST_SIDE = 10_000
CHANNELS = {"L": 1, "RGB": 3}
"""Channels of each mode."""
_FILTERS = {name: Image.Resampling[name.upper()] for name in get_args(Interpolation)}


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """The preprocessing of a network, stored with every run.

    Raises
    ------
    ConfigError
        If the values do not fit each other.
    """

    mode: Literal["L", "RGB"]
    size: tuple[int, int]
    """(H, W) of the network's input."""
    mean: tuple[float, ...]
    """Per channel, on the scale [0, 1]."""
    std: tuple[float, ...]
    resize: int | None = None
    """The shorter side is resized to so many pixels and the centre cropped to ``size``; None: the whole image is
    resized to ``size``."""
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        if self.mode not in ("L", "RGB"):
            raise ConfigError(f"The preprocessing mode must be 'L' or 'RGB', not '{self.mode}'.")
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise ConfigError(f"Mean and std of the preprocessing need {self.channels} value(s) for mode {self.mode}.")
        if len(self.size) != 2 or min(self.size) < 1 or min(self.std) <= 0:
            raise ConfigError("The preprocessing needs a size (H, W) of positive numbers and positive std values.")
        height, width = self.size
        if max(height, width) > LONGEST_SIDE or height * width > MOST_PIXELS:
            raise ConfigError(
                f"The preprocessing size {height} x {width} is too large for a network here: at most "
                f"{MOST_PIXELS:,} pixels, and {LONGEST_SIDE:,} on a side."
            )
        if self.resize is not None and self.resize > LONGEST_SIDE:
            raise ConfigError(f"The preprocessing resizes to {self.resize} pixels; at most {LONGEST_SIDE:,} are taken.")
        if self.resize is not None and self.resize < 1:
            raise ConfigError(
                f"The preprocessing resizes the shorter side to {self.resize} pixels; at least 1 is needed."
            )
        if self.interpolation not in _FILTERS:
            raise ConfigError(
                f"The preprocessing interpolation must be one of {', '.join(_FILTERS)}, not '{self.interpolation}'."
            )

    @property
    def channels(self) -> int:
        """Number of channels, C."""
        return CHANNELS[self.mode]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary; an entry unknown to older runs is left out if it has its old value."""
        chosen = {f.name for f in fields(self) if f.name not in _LATER or getattr(self, f.name) != f.default}
        values = {key: value for key, value in asdict(self).items() if key in chosen}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    def describe(self) -> str:
        """Return the steps in words."""
        height, width = self.size
        kind = "grey" if self.mode == "L" else "RGB"
        target = f"{height} × {width}"
        steps = f"to {target}" if self.resize is None else f"shorter side to {self.resize}, centre {target}"
        return f"{kind}, {steps}, {self.interpolation}, {self.describe_normalisation()}"

    def describe_normalisation(self) -> str:
        """Return mean and standard deviation in words, to four digits."""
        return f"mean {_numbers(self.mean)}, std {_numbers(self.std)}"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the preprocessing from a dictionary of ``to_dict``.

        Raises
        ------
        ConfigError
            If keys are missing or values are of another kind.
        """
        try:
            height, width = values["size"]
            return cls(
                mode=values["mode"],
                size=(int(height), int(width)),
                mean=tuple(float(value) for value in values["mean"]),
                std=tuple(float(value) for value in values["std"]),
                resize=None if values.get("resize") is None else int(values["resize"]),
                interpolation=values.get("interpolation", "bilinear"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"The preprocessing cannot be read ({error}); it needs mode, size, mean, std.") from None

    def array(self, encoded: Sequence[bytes]) -> NDArray[np.float32]:
        """Decode and preprocess image files.

        Parameters
        ----------
        encoded : sequence of bytes
            B image files in any format that Pillow reads.

        Returns
        -------
        NDArray[np.float32]
            Shape (B, C, H, W).

        Raises
        ------
        DataError
            If a file cannot be decoded.
        """
        height, width = self.size
        shape = (height, width) if self.mode == "L" else (height, width, 3)
        pixels = np.empty((len(encoded), *shape), dtype=np.uint8)
        for row, data in enumerate(encoded):
            pixels[row] = self._resized(decoding.decode(data, self.mode))
        return self.from_pixels(pixels)

    def fits(self, pixels: NDArray[np.uint8]) -> bool:
        """Whether decoded images, (n, H, W) or (n, H, W, 3), need neither conversion nor resizing."""
        height, width = self.size
        whole = self.resize is None or resized_size((width, height), self.resize) == (width, height)
        return whole and pixels.shape[1:] == ((height, width) if self.mode == "L" else (height, width, 3))

    def from_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Preprocess decoded images accepted by ``fits``; returns shape (n, C, H, W)."""
        channels = pixels[:, None] if self.mode == "L" else np.moveaxis(pixels, -1, 1)
        mean = np.asarray(self.mean, dtype=np.float32)[:, None, None]
        std = np.asarray(self.std, dtype=np.float32)[:, None, None]
        array = channels.astype(np.float32) / np.float32(255)
        return np.ascontiguousarray((array - mean) / std)

    def _resized(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resize and crop an image to the same pixels as torchvision's transforms."""
        height, width = self.size
        target = (width, height) if self.resize is None else resized_size(image.size, self.resize)
        if target[0] * target[1] > decoding.MOST_PIXELS:
            raise DataError(
                f"An image of {image.width} x {image.height} pixels would be resized to {target[0]} x {target[1]} "
                "before the crop; leave the image out, or choose a smaller `resize`."
            )
        if image.size != target:
            image = image.resize(target, _FILTERS[self.interpolation])
        if target != (width, height):
            left, top = crop_offset(target[0], width), crop_offset(target[1], height)
            image = image.crop((left, top, left + width, top + height))
        return np.asarray(image, dtype=np.uint8)


_LATER = ("resize", "interpolation")
"""Entries missing in manifests of older runs, with the values that those runs used."""


def _numbers(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"
