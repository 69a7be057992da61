"""Lays heat-maps over originals, each over the part that the network saw after resizing and cropping.

A heat-map has the size of the network's input. Where an original differs from that in more than its scale, the layer is
an SVG of the original's size with the heat-map, lossless, at its place; an image element that shows the two in the same
box shows them aligned to a fraction of a pixel.
"""

from __future__ import annotations

from base64 import b64encode

from xda.data.geometry import Place

SMOOTHED_FROM = 84
"""Heat-maps of at least so many pixels a side are smoothed when enlarged; smaller ones show their pixels."""


def layer(heatmap: bytes, where: Place) -> tuple[bytes, str]:
    """Return a heat-map as a layer over the whole original, and its media type.

    Parameters
    ----------
    heatmap : bytes
        A PNG of the size of the network's input.
    where : Place

    Returns
    -------
    content : bytes
        The PNG itself where it covers the original, else an SVG that holds it.
    media_type : str
    """
    if where.is_whole:
        return heatmap, "image/png"
    (width, height), seen = where.original, where.seen
    rendering = "pixelated" if max(where.grid) <= SMOOTHED_FROM else "auto"
    content = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        f'<image x="{seen.left:.6g}" y="{seen.top:.6g}" width="{seen.width:.6g}" height="{seen.height:.6g}" '
        f'preserveAspectRatio="none" image-rendering="{rendering}" '
        f'href="data:image/png;base64,{b64encode(heatmap).decode()}"/></svg>'
    )
    return content.encode(), "image/svg+xml"
