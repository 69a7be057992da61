"""Pictures of a run: originals, heat-maps as signed numbers and as PNG; the content of an address never changes.

The address contains the run's digest, so clients may keep an answer for a year. The query alone determines which maps
share a scale.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, cast, get_args

import numpy as np
from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from numpy.typing import NDArray

from xda.attribution.ranking import RANKS, Rank
from xda.attribution.results import PairRelevance, difference
from xda.decision import Decision, Split
from xda.errors import NotFoundError, XdaError
from xda.present.colour import COLOURS, Colours, colorize, full_scale
from xda.present.layers import layer
from xda.present.signed_maps import MEDIA_TYPE, pack
from xda.settings import Settings
from xda.web.dependencies import CatalogDep, SettingsDep
from xda.web.http.conditional import IMMUTABLE, fresh, run_tag
from xda.web.http.device_wait import finished
from xda.web.view import DEFAULT_SHOWN, choice, flag, integer

if TYPE_CHECKING:
    from xda.explanation.run import Explainer

router = APIRouter(include_in_schema=False)

Digest = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")]
Shown = Literal["test", "train", "difference"]
"""A side of a pair, or the difference of its test side from what all of its sign share."""
Group = Literal["own", "for", "against"]
GROUPS: tuple[Group, ...] = get_args(Group)
"""In the order of ``Explainer.evidence_relevance``."""
Map = NDArray[np.float32]
_SUBJECT = re.compile(r"(\d{1,9})-(own|for|against|\d{1,9})-(\d{1,6})(?:-(\d{1,6}))?")
_C = re.compile(r"c([0-9.e+-]{1,40})")
KEPT_SCALES = 4096
"""So many scales of pages are kept; a few bytes each."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The requested heat-map."""

    decision: Decision
    train: int | None
    """Training image; None for a map of all training images, or of all of one sign, on the test image."""
    group: Group = "own"
    """Which of them."""
    rank: Rank = "sum"
    """The map on a training image is of this ranking."""

    def maps(self, explainer: Explainer) -> Future[list[PairRelevance]]:
        """Request the maps; one of a group is the ``test`` side."""
        if self.train is not None:
            return explainer.relevance(self.decision, [self.train], rank=self.rank)
        if self.group == "own":
            return explainer.own_relevance(self.decision)
        return explainer.evidence_relevance(self.decision)

    async def result(self, explainer: Explainer, settings: Settings) -> list[PairRelevance]:
        """Wait for the maps; what another ranking starts from may have to be computed first."""
        future = self.maps(explainer) if self.rank == "sum" else await run_in_threadpool(self.maps, explainer)
        return await finished(future, settings)

    async def signed(self, explainer: Explainer, side: Shown, settings: Settings) -> tuple[Map, float]:
        """Return a map and its own scale.

        That of a difference is the pair's, so that nothing is seen where there is none.
        """
        found = await self.result(explainer, settings)
        if self.train is None:
            pair = found[GROUPS.index(self.group)]
            # The two sums are on one scale, since the test image's own map is what is left of them.
            alike = found[1:] if self.group != "own" else [pair]
            return pair.test if side == "test" else pair.train, full_scale(*(each.test for each in alike))
        (pair,) = found
        if side == "train":
            return pair.train, full_scale(pair.train)
        if side == "test":
            return pair.test, full_scale(pair.test)
        _, supporting, opposing = await finished(explainer.evidence_relevance(self.decision), settings)
        return difference(pair, supporting if pair.attribution > 0 else opposing), full_scale(pair.test)


def read_subject(explainer: Explainer, c: str, subject: str, rank: str | None = None) -> Subject:
    """Read the two parts of a heat-map's address, and the ranking in its query.

    Raises
    ------
    NotFoundError, InvalidRequestError
        There is no heat-map at this address, or as for ``Explainer.decide``.
    """
    found, value = _SUBJECT.fullmatch(subject), _C.fullmatch(c)
    try:
        if found is None or value is None:
            raise ValueError
        test, train, target, against = found.groups()
        asked = float(value[1])
    except ValueError:
        raise NotFoundError("There is no heat-map at this address; open it from the page that shows it.") from None
    contrast = None if against is None else int(against)
    decision = explainer.decide(int(test), c=asked, target=int(target), against=contrast)
    by = cast(Rank, choice("rank", rank, RANKS))
    if train in GROUPS:
        return Subject(decision, None, cast(Group, train), by)
    return Subject(decision, int(train), rank=by)


def listed(
    explainer: Explainer, decision: Decision, shown: int, train_class: int | None, rank: Rank = "sum"
) -> list[int]:
    """Return the training images of a page, read from its address."""
    told = explainer.explain(decision, limit=shown, train_class=train_class, rank=rank)
    return told.listed


def start(explainer: Explainer, asked: Subject, shown: int, train_class: int | None) -> None:
    """Start all heat-maps of a page in as few passes as possible, before the browser requests each.

    The test image's own map is the first picture of a page, so its request starts the rest; a page whose pictures
    nobody fetches costs the device nothing. A busy device is no error here, since the pictures are requested again.
    """
    with suppress(XdaError):
        explainer.evidence_relevance(asked.decision)
        partners = listed(explainer, asked.decision, shown, train_class, asked.rank)
        explainer.relevance(asked.decision, partners, rank=asked.rank)


async def started(explainer: Explainer, asked: Subject, shown: int, train_class: int | None) -> None:
    """Start the maps of a page as ``start`` does, off the event loop if a ranking may have to be computed first."""
    if asked.rank == "sum":
        start(explainer, asked, shown, train_class)
    else:
        await run_in_threadpool(start, explainer, asked, shown, train_class)


class PageScales:
    """The largest relevance of any pair on recent pages, so that each map need not read all others of its page."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[object, ...], float] = OrderedDict()

    async def get(
        self, explainer: Explainer, asked: Subject, shown: int, train_class: int | None, settings: Settings
    ) -> float:
        """Return the common scale of the maps of all pairs on the page."""
        key = (explainer.digest, asked.decision, shown, train_class, asked.rank)
        if key not in self._known:

            def pairs_of_page() -> Future[list[PairRelevance]]:
                partners = listed(explainer, asked.decision, shown, train_class, asked.rank)
                return explainer.relevance(asked.decision, partners, rank=asked.rank)

            future = pairs_of_page() if asked.rank == "sum" else await run_in_threadpool(pairs_of_page)
            pairs = await finished(future, settings)
            self._known[key] = full_scale(*(side for pair in pairs for side in (pair.test, pair.train)))
            while len(self._known) > KEPT_SCALES:
                self._known.popitem(last=False)
        return self._known[key]


@router.get("/idle")
async def get_idle(catalog: CatalogDep) -> Response:
    """Say whether the device is idle; pages ask before they request the next page's heat-maps ahead."""
    content = b'{"idle":true}' if catalog.device_queue.idle else b'{"idle":false}'
    return Response(content, headers={"Cache-Control": "no-store"}, media_type="application/json")


@router.get("/media/{digest}/{split}/{index}")
async def get_image(
    request: Request,
    catalog: CatalogDep,
    digest: Digest,
    split: Literal["train", "test"],
    index: int,
    size: Annotated[str | None, Query(max_length=40)] = None,
) -> Response:
    """Return an image of bounded size (``view``, ``thumb``), or the ``original`` file."""
    explainer = catalog.by_digest(digest)
    headers = fresh(request, run_tag(request, digest), IMMUTABLE)
    asked = cast(Literal["view", "thumb", "original"], choice("size", size, ("view", "thumb", "original")))
    if asked == "original":
        content, media_type = explainer.image(split, index)
    else:
        explainer.bounds.check_image(split, index)
        if (shown := explainer.images.at_hand(split, index, asked)) is None:
            # Decoding a photograph on the event loop would delay all other requests.
            shown = await run_in_threadpool(explainer.images.shown, split, index, asked)
        content, media_type = shown
    return Response(content, headers=headers, media_type=media_type)


@router.get("/media/{digest}/relevance/{c}/{subject}/{side}.png")
@router.get("/media/{digest}/relevance/{c}/{subject}/{side}.svg")
async def get_heatmap(
    request: Request,
    catalog: CatalogDep,
    settings: SettingsDep,
    digest: Digest,
    c: str,
    subject: str,
    side: Shown,
    map: Annotated[str | None, Query(max_length=40)] = None,
    scale: Annotated[str | None, Query(max_length=40)] = None,
    show: Annotated[str | None, Query(max_length=40)] = None,
    train_class: Annotated[str | None, Query(max_length=40)] = None,
    alone: Annotated[str | None, Query(max_length=40)] = None,
    rank: Annotated[str | None, Query(max_length=40)] = None,
) -> Response:
    """Return a heat-map as a transparent layer: .png for the network's input, .svg for the whole original.

    ``scale`` is own, pair or page (all pairs of it); ``show`` and ``train_class`` identify the page. The test image's
    own map, the sum over all training images, always has its own scale; ``alone`` means a page without pairs.
    """
    explainer = catalog.by_digest(digest)
    headers = fresh(request, run_tag(request, digest), IMMUTABLE)
    asked = read_subject(explainer, c, subject, rank)
    colours = cast(Colours, choice("map", map, COLOURS))
    reference = choice("scale", scale, ("own", "pair", "page"))
    shown = integer("show", show, 1, settings.max_page) or DEFAULT_SHOWN
    label = integer("train_class", train_class)
    if asked.group == "own" and asked.train is None and not flag("alone", alone):
        await started(explainer, asked, shown, label)
    relevance, own = await asked.signed(explainer, side, settings)
    if reference == "page" and asked.train is not None:
        scales: PageScales = request.app.state.page_scales
        full = await scales.get(explainer, asked, shown, label, settings)
    elif reference == "pair":
        (pair,) = await asked.result(explainer, settings)
        full = full_scale(pair.test, pair.train)
    else:
        full = own
    content, media_type = colorize(relevance, full, colours), "image/png"
    if request.url.path.endswith(".svg"):
        index = asked.train if side == "train" else asked.decision.test
        split: Split = "train" if side == "train" else "test"
        content, media_type = layer(content, explainer.images.place(split, -1 if index is None else index))
    return Response(content, headers=headers, media_type=media_type)


@router.get("/media/{digest}/relevance/{c}/{subject}/{side}.i16")
async def get_signed_map(
    request: Request,
    catalog: CatalogDep,
    settings: SettingsDep,
    digest: Digest,
    c: str,
    subject: str,
    side: Shown,
    show: Annotated[str | None, Query(max_length=40)] = None,
    train_class: Annotated[str | None, Query(max_length=40)] = None,
    alone: Annotated[str | None, Query(max_length=40)] = None,
    rank: Annotated[str | None, Query(max_length=40)] = None,
) -> Response:
    """Return a heat-map as signed numbers, which the browser colours (``xda.present.signed_maps``).

    ``show``, ``train_class`` and ``alone`` are as for the layer, and start the page's other maps.
    """
    explainer = catalog.by_digest(digest)
    headers = fresh(request, run_tag(request, digest), IMMUTABLE)
    asked = read_subject(explainer, c, subject, rank)
    shown = integer("show", show, 1, settings.max_page) or DEFAULT_SHOWN
    label = integer("train_class", train_class)
    if asked.group == "own" and asked.train is None and not flag("alone", alone):
        await started(explainer, asked, shown, label)
    relevance, own = await asked.signed(explainer, side, settings)
    return Response(pack(relevance, own), headers=headers, media_type=MEDIA_TYPE)


@router.get("/media/{digest}/relevance/{c}/{subject}/{side}.f32")
async def get_values(
    request: Request,
    catalog: CatalogDep,
    settings: SettingsDep,
    digest: Digest,
    c: str,
    subject: str,
    side: Literal["test", "train"],
    rank: Annotated[str | None, Query(max_length=40)] = None,
) -> Response:
    """Return the raw relevances: little-endian float32, row by row, as many as the PNG has pixels."""
    explainer = catalog.by_digest(digest)
    headers = fresh(request, run_tag(request, digest), IMMUTABLE)
    (pair,) = await read_subject(explainer, c, subject, rank).result(explainer, settings)
    relevance: NDArray[np.float32] = pair.test if side == "test" else pair.train
    content = np.ascontiguousarray(relevance, dtype="<f4").tobytes()
    return Response(content, headers=headers, media_type="application/octet-stream")
