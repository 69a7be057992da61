"""Snapshots for shared links: they show an explanation unchanged after its run is gone.

In: an open run and the state of a page. Out: a :class:`Capture`: the story in plain JSON types and every picture on the
page (originals, and heat-maps as signed numbers), of bounded size. Links of format 1 hold painted layers instead.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from xda.attribution.ranking import Rank
from xda.attribution.results import PairRelevance, difference
from xda.data.geometry import Box, Place
from xda.decision import Decision, Split
from xda.errors import BusyError
from xda.present.colour import Colours, colorize, full_scale
from xda.present.layers import layer
from xda.present.pair_facts import pair_facts
from xda.present.png_figure import Drawn, card_canvas
from xda.present.raster import png
from xda.present.signed_maps import MEDIA_TYPE, pack, unpack
from xda.present.story import Story, tell, to_snapshot

if TYPE_CHECKING:
    from xda.explanation.run import Explainer

FORMAT = 2
MAX_LISTED = 96
"""Most stored training images of each sign."""
MAX_MEDIA_BYTES = 12_000_000
"""Most bytes of pictures a link keeps; with larger images fewer training images are kept."""

ON_CARD = 2
"""Training images of each sign on the card."""

WHOLE = ("map-own", "map-for", "map-against")
"""Maps of many training images on the test image, which never share the scale of the pairs."""

Media = dict[str, tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class SharedState:
    """The part of a page's state that determines its content."""

    decision: Decision
    train: int | None = None
    """Training image of a pair page; None: the explanation page."""
    train_class: int | None = None
    shown: int = 4
    colours: Colours = "red-blue"
    scale: Literal["own", "page"] = "own"
    rank: Rank = "sum"


@dataclass(frozen=True, slots=True)
class Capture:
    """The stored content of a link."""

    story: Story
    snapshot: dict[str, Any]
    """``{"format", "story", "pair", "places", "scale"}`` in plain JSON types. ``pair`` holds the facts of a pair page,
    else None; ``places`` the positions of the maps by the names of their originals; ``scale`` is that of all pairs."""
    media: Mapping[str, tuple[str, bytes]]
    """Name to (content type, content): ``test`` and ``train-{j}`` are originals, ``map-own.i16``, ``map-for.i16``,
    ``map-against.i16``, ``map-{j}-train.i16``, ``map-{j}-difference.i16`` and of a pair page ``map-{j}-test.i16`` are
    signed heat-maps, ``card`` is the picture for chat programs."""


def capture(explainer: Explainer, state: SharedState, *, wait_seconds: float, card: bool = True) -> Capture:
    """Collect the content of a page; block until its heat-maps are ready.

    Parameters
    ----------
    explainer : Explainer
        The open run.
    state : SharedState
        The state of the page.
    wait_seconds : float
        Longest wait for the device.
    card : bool
        Whether to draw the picture for chat programs.

    Raises
    ------
    NotFoundError, InvalidRequestError
        As for ``Explainer.explain``.
    BusyError
        The heat-maps were not ready in time.
    """
    shown = min(state.shown, MAX_LISTED)
    parts = explainer.decompose(state.decision)
    drawn = tell(explainer, parts, limit=max(shown, ON_CARD), train_class=state.train_class, rank=state.rank)
    whole, pairs = _heatmaps(explainer, state, drawn, wait_seconds)
    told = drawn.explanation
    seen = {part.index for part in (*told.supporting[:shown], *told.opposing[:shown])}
    alike = seen if state.train is None else {state.train}
    scale = full_scale(*(side for pair in pairs if pair.train_index in alike for side in (pair.test, pair.train)))
    media, kept = _pictures(explainer, state, whole, pairs)
    # If fewer images are stored than drawn, tell the story again: its sentence about the listed counts the stored.
    story = drawn
    if shown < ON_CARD or kept < shown:
        story = tell(explainer, parts, limit=min(shown, kept), train_class=state.train_class, rank=state.rank)
    pair = None if state.train is None else asdict(pair_facts(explainer, parts, state.train, state.rank))
    if card:
        shown_on_it = {part.index for part in (*told.supporting[:ON_CARD], *told.opposing[:ON_CARD])}
        on_card = [pair for pair in pairs if pair.train_index in shown_on_it]
        pictures = Drawn.of(explainer, state.decision, (), on_card)
        media["card"] = ("image/png", png(card_canvas(drawn, pictures, colours=state.colours)))
    originals = {"test": explainer.images.place("test", state.decision.test)}
    originals |= {f"train-{each.train_index}": explainer.images.place("train", each.train_index) for each in pairs}
    snapshot = {
        "format": FORMAT,
        "story": to_snapshot(story),
        "pair": pair,
        "places": {name: asdict(where) for name, where in originals.items() if name in media},
        "scale": scale,
    }
    return Capture(story, snapshot, media)


def painted(snapshot: Mapping[str, Any], name: str, content: bytes, colours: Colours, scale: str) -> tuple[str, bytes]:
    """Colour a stored heat-map for browsers without JavaScript.

    Parameters
    ----------
    snapshot : mapping
        Of the link.
    name : str
        Of the map, without ``.i16``.
    content : bytes
        The stored numbers.
    colours : {"red-blue", "orange-purple"}
    scale : {"own", "page"}

    Returns
    -------
    content type, content
    """
    where = place(snapshot, name)
    relevance, full = unpack(content, where.grid[0])
    if scale == "page" and name not in WHOLE:
        full = float(snapshot["scale"])
    layer_content, kind = layer(colorize(relevance, full, colours), where)
    return kind, layer_content


def place(snapshot: Mapping[str, Any], name: str) -> Place:
    """Return the position of a stored heat-map on its original."""
    original = f"train-{name.split('-')[1]}" if name.endswith("-train") else "test"
    stored = snapshot["places"][original]
    return Place(tuple(stored["original"]), Box(**stored["seen"]), tuple(stored["grid"]))


def _heatmaps(
    explainer: Explainer, state: SharedState, story: Story, wait_seconds: float
) -> tuple[list[PairRelevance], list[PairRelevance]]:
    """Return the three maps of the whole, and the pair maps, the shown pair first, the listed ones by rank."""
    told = story.explanation
    sides = (told.supporting, told.opposing)
    ranked = [side[k].index for k in range(max(map(len, sides))) for side in sides if k < len(side)]
    listed = list(dict.fromkeys([*([] if state.train is None else [state.train]), *ranked]))
    whole = explainer.evidence_relevance(state.decision, blank=True)
    pairs = explainer.relevance(state.decision, listed, blank=True, rank=state.rank)
    deadline = time.monotonic() + wait_seconds
    try:
        return whole.result(wait_seconds), pairs.result(max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        whole.cancel()
        pairs.cancel()
        raise BusyError("The heat-maps of this page are not ready yet; share it again in a moment.") from None


def _pictures(
    explainer: Explainer, state: SharedState, whole: Sequence[PairRelevance], pairs: Sequence[PairRelevance]
) -> tuple[Media, int]:
    """Collect pictures up to the size limit; return them and the number of images of each sign that surely fit."""
    own, supporting, opposing = whole
    sums = full_scale(supporting.test, opposing.test)

    def signed(relevance: NDArray[np.float32], scale: float | None = None) -> tuple[str, bytes]:
        return MEDIA_TYPE, pack(relevance, scale)

    def original(split: Split, index: int) -> tuple[str, bytes]:
        content, kind = explainer.images.shown(split, index)
        return kind, content

    media: Media = {
        "test": original("test", state.decision.test),
        "map-own.i16": signed(own.test),
        "map-for.i16": signed(supporting.test, sums),
        "map-against.i16": signed(opposing.test, sums),
    }
    size = sum(len(content) for _, content in media.values())
    for position, pair in enumerate(pairs):
        j = pair.train_index
        group = supporting if pair.attribution > 0 else opposing
        pictures: Media = {
            f"train-{j}": original("train", j),
            f"map-{j}-train.i16": signed(pair.train),
        }
        if state.rank == "sum":
            pictures[f"map-{j}-difference.i16"] = signed(difference(pair, group), full_scale(pair.test))
        if j == state.train:
            pictures[f"map-{j}-test.i16"] = signed(pair.test)
        size += sum(len(content) for _, content in pictures.values())
        if size > MAX_MEDIA_BYTES and position > 0:
            # Ranks alternate between the signs (after a pair's own image), so half of the images surely fit for each.
            return media, (position - (state.train is not None)) // 2
        media |= pictures
    return media, MAX_LISTED
