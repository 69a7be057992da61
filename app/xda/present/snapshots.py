"""Snapshots for shared links: they show an explanation unchanged after its run is gone.

In: an open run and the state of a page. Out: a :class:`Capture`: the story in plain JSON types and every picture on the
page (originals and heat-maps as PNG), of bounded size.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from xda.attribution.ranking import Rank
from xda.attribution.results import PairRelevance
from xda.decision import Decision, Split
from xda.errors import BusyError
from xda.present.colour import Colours, colorize, full_scale
from xda.present.layers import layer
from xda.present.pair_facts import pair_facts
from xda.present.png_figure import Drawn, card_canvas
from xda.present.raster import png
from xda.present.story import Story, tell, to_snapshot

if TYPE_CHECKING:
    from xda.explanation.run import Explainer

FORMAT = 1
MAX_LISTED = 96
"""Most stored training images of each sign."""
MAX_MEDIA_BYTES = 12_000_000
"""Most bytes of pictures a link keeps; with larger images fewer training images are kept."""

ON_CARD = 2
"""Training images of each sign on the card."""

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
    """``{"format", "story", "pair"}`` in plain JSON types; ``pair`` holds the facts of a pair page, else None."""
    media: Mapping[str, tuple[str, bytes]]
    """Name to (content type, content): ``test`` and ``train-{j}`` are originals, ``map-own``, ``map-{j}-test`` and
    ``map-{j}-train`` heat-maps, ``card`` the picture for chat programs."""


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
    own, pairs = _heatmaps(explainer, state, drawn, wait_seconds)
    told = drawn.explanation
    seen = {part.index for part in (*told.supporting[:shown], *told.opposing[:shown])}
    media, kept = _pictures(explainer, state, own, pairs, seen)
    # If fewer images are stored than drawn, tell the story again: its sentence about the listed counts the stored.
    story = drawn
    if shown < ON_CARD or kept < shown:
        story = tell(explainer, parts, limit=min(shown, kept), train_class=state.train_class, rank=state.rank)
    pair = None if state.train is None else asdict(pair_facts(explainer, parts, state.train, state.rank))
    if card:
        shown_on_it = {part.index for part in (*told.supporting[:ON_CARD], *told.opposing[:ON_CARD])}
        on_card = [pair for pair in pairs if pair.train_index in shown_on_it]
        pictures = Drawn.of(explainer, state.decision, [own], on_card)
        media["card"] = ("image/png", png(card_canvas(drawn, pictures, colours=state.colours)))
    return Capture(story, {"format": FORMAT, "story": to_snapshot(story), "pair": pair}, media)


def _heatmaps(
    explainer: Explainer, state: SharedState, story: Story, wait_seconds: float
) -> tuple[PairRelevance, list[PairRelevance]]:
    """Return the test image's own map and the pair maps, the shown pair first, the listed ones by rank."""
    told = story.explanation
    sides = (told.supporting, told.opposing)
    ranked = [side[k].index for k in range(max(map(len, sides))) for side in sides if k < len(side)]
    listed = list(dict.fromkeys([*([] if state.train is None else [state.train]), *ranked]))
    own = explainer.own_relevance(state.decision, blank=True)
    pairs = explainer.relevance(state.decision, listed, blank=True, rank=state.rank)
    deadline = time.monotonic() + wait_seconds
    try:
        return own.result(wait_seconds)[0], pairs.result(max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        own.cancel()
        pairs.cancel()
        raise BusyError("The heat-maps of this page are not ready yet; share it again in a moment.") from None


def _pictures(
    explainer: Explainer, state: SharedState, own: PairRelevance, pairs: list[PairRelevance], seen: set[int]
) -> tuple[Media, int]:
    """Draw pictures up to the size limit; return them and the number of images of each sign that surely fit.

    The common scale of a page covers the training images ``seen`` on it; the card may need more images.
    """
    test = state.decision.test
    one = full_scale(*(side for pair in pairs if pair.train_index in seen for side in (pair.test, pair.train)))

    def drawn(split: Split, index: int, relevance: NDArray[np.float32], scale: float) -> tuple[str, bytes]:
        painted = colorize(relevance, scale if state.scale == "page" else full_scale(relevance), state.colours)
        content, kind = layer(painted, explainer.images.place(split, index))
        return kind, content

    def original(split: Split, index: int) -> tuple[str, bytes]:
        content, kind = explainer.images.shown(split, index)
        return kind, content

    media: Media = {
        "test": original("test", test),
        "map-own": drawn("test", test, own.test, full_scale(own.test)),
    }
    size = sum(len(content) for _, content in media.values())
    for position, pair in enumerate(pairs):
        j = pair.train_index
        # On a pair page only the pair's two maps share a scale.
        scale = full_scale(pair.test, pair.train) if j == state.train else one
        pictures: Media = {
            f"train-{j}": original("train", j),
            f"map-{j}-test": drawn("test", test, pair.test, scale),
            f"map-{j}-train": drawn("train", j, pair.train, scale),
        }
        size += sum(len(content) for _, content in pictures.values())
        if size > MAX_MEDIA_BYTES and position > 0:
            # Ranks alternate between the signs (after a pair's own image), so half of the images surely fit for each.
            return media, (position - (state.train is not None)) // 2
        media |= pictures
    return media, MAX_LISTED
