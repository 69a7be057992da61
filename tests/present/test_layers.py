"""Heat-maps as layers over originals."""

from __future__ import annotations

import pytest

from xda.data.geometry import place_of
from xda.data.preprocessing import Preprocessing
from xda.present.layers import layer

WHOLE = Preprocessing(mode="L", size=(28, 28), mean=(0.0,), std=(1.0,))
WIDE = Preprocessing(mode="L", size=(20, 40), mean=(0.0,), std=(1.0,))
CROPPED = Preprocessing(mode="L", size=(224, 224), mean=(0.0,), std=(1.0,), resize=256)


@pytest.mark.parametrize(
    ("original", "preprocessing", "whole"),
    [
        ((28, 28), WHOLE, True),
        ((560, 560), WHOLE, True),
        ((29, 28), WHOLE, False),
        ((40, 20), WIDE, True),
        ((400, 200), WIDE, True),
        ((20, 40), WIDE, False),
        ((256, 256), CROPPED, False),
    ],
)
def test_layer_of_whole_original_stays_png(
    original: tuple[int, int], preprocessing: Preprocessing, whole: bool
) -> None:
    where = place_of(original, preprocessing)
    assert where.is_whole == whole
    content, kind = layer(b"the map", where)
    assert kind == ("image/png" if whole else "image/svg+xml")
    assert (content == b"the map") == whole


def test_layer_of_cropped_original_places_the_map() -> None:
    content, _ = layer(b"map", place_of((400, 300), CROPPED))
    text = content.decode()
    assert 'width="400" height="300" viewBox="0 0 400 300"' in text
    # 400 x 300 becomes 341 x 256; the crop keeps 224 x 224 pixels from (58, 16) on
    x, y = 58 * 400 / 341, 16 * 300 / 256
    assert f'x="{x:.6g}" y="{y:.6g}" width="{224 * 400 / 341:.6g}" height="{224 * 300 / 256:.6g}"' in text
    assert 'image-rendering="auto"' in text
    assert 'image-rendering="pixelated"' in layer(b"map", place_of((400, 300), WHOLE))[0].decode()
