"""Images for pages: decoded once, then cached."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from tests.data.image_files import GOOD, encode
from xda.data.preprocessing import Preprocessing
from xda.explanation import images as images_module
from xda.explanation.images import ShownImages
from xda.storage.run.folder import RunFolder

GREY = Preprocessing(mode="L", size=(28, 28), mean=(0.0,), std=(1.0,))


class Kept(dict[str, bytes]):
    """A cache in memory."""

    def put(self, key: str, value: bytes) -> None:
        self[key] = value


def images(*contents: bytes, cache: Any = None) -> ShownImages:
    run = SimpleNamespace(digest="0" * 64, image=lambda split, index: contents[index])
    return ShownImages(cast(RunFolder, run), GREY, cache)


def test_rendition_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = encode(Image.fromarray(np.zeros((500, 700, 3), dtype=np.uint8)), "JPEG")
    cache = Kept()
    first = images(photo, cache=cache).shown("test", 0, "thumb")
    monkeypatch.setattr(images_module, "rendition", lambda *arguments: pytest.fail("made again"))
    assert images(photo, cache=cache).shown("test", 0, "thumb") == first
    assert first[1] == "image/jpeg"


def test_shown_small_image_is_the_original() -> None:
    data = GOOD["grey.png"]()
    shown = images(data, GOOD["transparent.png"]())
    assert shown.at_hand("test", 0, "thumb") == (data, "image/png")
    assert shown.at_hand("test", 1, "view") is None
    assert shown.shown("test", 1)[0] != GOOD["transparent.png"]()
    assert shown.original("test", 1) == (GOOD["transparent.png"](), "image/png")


def test_place_uses_the_upright_original() -> None:
    shown = images(GOOD["rotated.jpg"](), GOOD["grey.png"]())
    assert shown.place("test", 0).original == shown.place("test", 1).original == (30, 20)
