"""What a shared link keeps of an explanation, so that it can be shown as it was after its run is gone.

In: an open run and the state of a page. Out: a :class:`Capture`: the story in plain JSON types and every picture on the
page (originals and heat-maps as PNG), of bounded size.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from xda.errors import BusyError
from xda.services.colormap import Colours, colorize, full_scale
from xda.services.story import Story, tell, to_snapshot
from xda.services.views import PairRelevance

if TYPE_CHECKING:
    from xda.services.explorer import Explainer

FORMAT = 1
MAX_LISTED = 96
"""Most training images kept of each sign."""
MAX_MEDIA_BYTES = 12_000_000
"""Most bytes of pictures a link keeps; with larger images fewer training images are kept."""

Media = dict[str, tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class SharedState:
    """The state of a page, as far as it decides what is seen on it."""

    test: int
    train: int | None = None
    """Training image of a pair page; None: the explanation page."""
    c: float | None = None
    target: int | None = None
    against: int | None = None
    train_class: int | None = None
    shown: int = 4
    colours: Colours = "red-blue"
    scale: Literal["own", "page"] = "own"


@dataclass(frozen=True, slots=True)
class Capture:
    """All that a link keeps."""

    story: Story
    snapshot: dict[str, Any]
    """``{"format", "story", "pair"}`` in plain JSON types; ``pair`` is None or what the pair page says."""
    media: Mapping[str, tuple[str, bytes]]
    """Name to (content type, content): ``test`` and ``train-{j}`` are originals, ``map-own``,
    ``map-{j}-test`` and ``map-{j}-train`` heat-maps."""


def capture(explainer: Explainer, state: SharedState, *, wait_seconds: float) -> Capture:
    """Collect what is seen on a page; blocks until its heat-maps are there.

    Parameters
    ----------
    explainer
        The open run.
    state
        What is shown.
    wait_seconds
        Longest wait for the device.

    Raises
    ------
    NotFoundError, InvalidRequestError
        As for ``Explainer.explain``.
    BusyError
        The heat-maps did not come in time.
    """
    story = _story(explainer, state, min(state.shown, MAX_LISTED))
    listed = _listed(story, state)
    own, pairs = _heatmaps(explainer, state, story, listed, time.monotonic() + wait_seconds)
    media, kept = _pictures(explainer, state, own, pairs)
    if kept < len(story.explanation.supporting) or kept < len(story.explanation.opposing):
        # Told again, so that its sentences about "the strongest listed" are about those that are kept.
        story = _story(explainer, state, kept)
    return Capture(
        story, {"format": FORMAT, "story": to_snapshot(story), "pair": _pair(explainer, state, pairs)}, media
    )


def _story(explainer: Explainer, state: SharedState, limit: int) -> Story:
    return tell(
        explainer,
        state.test,
        c=state.c,
        target=state.target,
        against=state.against,
        limit=limit,
        train_class=state.train_class,
    )


def _listed(story: Story, state: SharedState) -> list[int]:
    """Training images on the page, each once: the pair's own, then by rank, both signs in turn."""
    first = [] if state.train is None else [state.train]
    sides = (story.explanation.supporting, story.explanation.opposing)
    ranked = [side[k].index for k in range(max(map(len, sides))) for side in sides if k < len(side)]
    return list(dict.fromkeys([*first, *ranked]))


def _heatmaps(
    explainer: Explainer, state: SharedState, story: Story, listed: list[int], deadline: float
) -> tuple[PairRelevance, list[PairRelevance]]:
    told = story.explanation
    own = explainer.own_relevance(state.test, c=told.c, target=told.target, against=told.against)
    pairs = explainer.relevance(state.test, listed, c=told.c, target=told.target, against=told.against)
    try:
        return (
            own.result(max(0.0, deadline - time.monotonic()))[0],
            pairs.result(max(0.0, deadline - time.monotonic())),
        )
    except TimeoutError:
        own.cancel()
        pairs.cancel()
        raise BusyError("The heat-maps of this page are not ready yet; share it again in a moment.") from None


def _pictures(
    explainer: Explainer, state: SharedState, own: PairRelevance, pairs: list[PairRelevance]
) -> tuple[Media, int]:
    """Draw what fits; return the pictures and how many training images of each sign are certain to be among them."""
    page = full_scale(own.test, *(side for pair in pairs for side in (pair.test, pair.train)))

    def drawn(relevance: Any) -> tuple[str, bytes]:
        return "image/png", colorize(relevance, page if state.scale == "page" else full_scale(relevance), state.colours)

    def original(split: Literal["train", "test"], index: int) -> tuple[str, bytes]:
        content, kind = explainer.image(split, index)
        return kind, content

    media: Media = {"test": original("test", state.test), "map-own": drawn(own.test)}
    size = sum(len(content) for _, content in media.values())
    for position, pair in enumerate(pairs):
        j = pair.train_index
        pictures: Media = {
            f"train-{j}": original("train", j),
            f"map-{j}-test": drawn(pair.test),
            f"map-{j}-train": drawn(pair.train),
        }
        size += sum(len(content) for _, content in pictures.values())
        if size > MAX_MEDIA_BYTES and position > 0:
            # Ranks alternate between the signs (after a pair's own image): half of what fits is sure for each.
            return media, (position - (state.train is not None)) // 2
        media |= pictures
    return media, MAX_LISTED


def _pair(explainer: Explainer, state: SharedState, pairs: list[PairRelevance]) -> dict[str, Any] | None:
    if state.train is None:
        return None
    pair = next(pair for pair in pairs if pair.train_index == state.train)
    return {
        "train": state.train,
        "label": explainer.label("train", state.train),
        "attribution": pair.attribution,
    }
