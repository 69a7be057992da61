"""A canvas as SVG: text as text, each image embedded once, heat-maps as transparent layers.

The text names the figures' font and falls back on the reader's; every line is stretched to the width it was measured
with, so that nothing runs into anything in another font.
"""

from __future__ import annotations

import re
from base64 import b64encode
from html import escape

from xda.data.decoding import dimensions, media_type
from xda.data.geometry import Box
from xda.present.canvas import LINE, PAPER, Bar, Canvas, Color, Picture, Text
from xda.present.embedded import images_of, is_coarse, layer_png, placed

FONTS = "'DejaVu Sans', Verdana, 'Bitstream Vera Sans', sans-serif"
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def svg(canvas: Canvas) -> bytes:
    """Return a canvas as SVG in UTF-8."""
    names: dict[bytes, str] = {}
    defined: list[str] = []
    for encoded, content in images_of(canvas).items():
        names[encoded] = f"image{len(names) + 1}"
        width, height = dimensions(encoded)
        defined.append(_image(content, Box(0, 0, width, height), f' id="{names[encoded]}"'))
    title = _text(canvas.title)
    size = f'width="{canvas.width}" height="{canvas.height}" viewBox="0 0 {canvas.width} {canvas.height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="{FONTS}">',
        f"<title>{title}</title>",
        f"<defs>{''.join(defined)}</defs>",
        f'<rect width="{canvas.width}" height="{canvas.height}" fill="{_color(PAPER)}"/>',
    ]
    for item in canvas.items:
        if isinstance(item, Text):
            lines.append(_words(item))
        elif isinstance(item, Bar):
            left, top, right, bottom = item.box
            lines.append(
                f'<rect {_box(Box(left, top, right - left, bottom - top))} fill="{_color(item.color)}" '
                'shape-rendering="crispEdges"/>'
            )
        else:
            lines.append(_picture(item, names[item.encoded]))
    return "\n".join([*lines, "</svg>\n"]).encode()


def _picture(item: Picture, name: str) -> str:
    place, size = placed(item), dimensions(item.encoded)
    rendering = "pixelated" if is_coarse(size, place.image) else "auto"
    # an svg element inside clips a map that reaches beyond the image
    parts = [
        f'<svg {_box(place.image)} viewBox="0 0 {size[0]} {size[1]}" preserveAspectRatio="none">'
        f'<use href="#{name}" image-rendering="{rendering}"/>'
    ]
    if item.layer is not None and place.layer is not None:
        painted, seen = item.layer.painted, item.layer.where.seen
        rendering = "pixelated" if is_coarse(painted.size, place.layer) else "auto"
        parts.append(_image(layer_png(painted), seen, f' image-rendering="{rendering}"'))
    left, top, right, bottom = item.frame
    frame = _box(Box(left + 0.5, top + 0.5, right - left, bottom - top))
    return f'{"".join(parts)}</svg><rect {frame} fill="none" stroke="{_color(LINE)}"/>'


def _image(content: bytes, box: Box, more: str) -> str:
    data = f"data:{media_type(content)};base64,{b64encode(content).decode()}"
    return f'<image{more} {_box(box)} preserveAspectRatio="none" href="{data}"/>'


def _words(item: Text) -> str:
    weight = ' font-weight="bold"' if item.bold else ""
    return (
        f'<text x="{item.left:.6g}" y="{item.baseline:.6g}" font-size="{item.size}"{weight} '
        f'fill="{_color(item.color)}" '
        f'textLength="{item.width:.6g}" lengthAdjust="spacingAndGlyphs">{_text(item.words)}</text>'
    )


def _text(words: str) -> str:
    """Return words for XML, which knows no control characters."""
    return escape(_NOT_XML.sub("", words))


def _box(box: Box) -> str:
    return f'x="{box.left:.6g}" y="{box.top:.6g}" width="{max(0.0, box.width):.6g}" height="{max(0.0, box.height):.6g}"'


def _color(color: Color) -> str:
    return "#" + "".join(f"{level:02x}" for level in color)
