"""Addresses of the pictures of an explanation, from the served run or from a shared link."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from xda.data.geometry import Place
from xda.decision import Decision
from xda.present.snapshots import place
from xda.present.story import Story
from xda.web.urls import Query, Urls
from xda.web.view import View

Side = Literal["test", "train"]
Group = Literal["own", "for", "against"]
"""A map of all training images on the test image, or of all that support or oppose."""


LowerRow = Literal["difference", "map", "none"]
"""The picture under a training image: the difference of the pair's map on the test image, that map itself, nothing."""


@dataclass(frozen=True, slots=True)
class MapLayer:
    """A heat-map over a picture."""

    signed: str
    """Address of the signed numbers that the browser colours; empty if only the painted layer is stored."""
    painted: str
    """Address of the layer as the server colours it, for browsers without JavaScript."""
    columns: int = 0
    rows: int = 0
    """Pixels of the map."""
    box: str = ""
    """Its left, top, width and height in percent of the square that its picture is fitted into."""
    group: str = "pair"
    """Maps of the group ``pair`` share a scale if the reader wants one; ``own``: each has its own in any case."""


def box_of(where: Place) -> str:
    """Return left, top, width and height of a heat-map in percent of the square around its original."""
    (width, height), seen = where.original, where.seen
    side = max(width, height)
    left, top = (side - width) / 2 + seen.left, (side - height) / 2 + seen.top
    return " ".join(f"{value / side * 100:.6g}" for value in (left, top, seen.width, seen.height))


def served_map(
    urls: Urls,
    digest: str,
    decision: Decision,
    partner: int | Group,
    side: Literal[Side, "difference"],
    where: Place,
    colouring: Query,
    page: Query | None = None,
) -> MapLayer:
    """Return a heat-map of a served run.

    Parameters
    ----------
    urls : Urls
    digest : str
        Of the run.
    decision : Decision
    partner : int or {"own", "for", "against"}
        Training image of the pair, or a group of them.
    side : {"test", "train", "difference"}
    where : Place
        Position of the map on the original.
    colouring : mapping
        Query of the painted layer.
    page : mapping, optional
        Query that starts the other maps of the page.
    """
    name = "png" if where.is_whole else "svg"
    return MapLayer(
        urls.relevance(digest, decision, partner, f"{side}.i16", page),
        urls.relevance(digest, decision, partner, f"{side}.{name}", {**colouring, **(page or {})}),
        *where.grid,
        box_of(where),
        "pair" if isinstance(partner, int) else "own",
    )


class Pictures(Protocol):
    """Addresses of the pictures of one explanation."""

    @property
    def lower_row(self) -> LowerRow:
        """Return the kind of picture under the training images."""

    def test(self) -> str:
        """Return the test image."""

    def train(self, index: int) -> str:
        """Return a training image."""

    def own_map(self) -> MapLayer | None:
        """Return the test image's own heat-map; None without heat-maps."""

    def evidence_map(self, group: Group) -> MapLayer | None:
        """Return the map of all training images that support or oppose on the test image; None if there is none."""

    def pair_map(self, index: int, side: Side) -> MapLayer | None:
        """Return one of the two heat-maps of a pair; None without heat-maps."""

    def lower_map(self, index: int) -> MapLayer | None:
        """Return the map under a training image, of the kind ``lower_row``; None without heat-maps."""


def map_query(view: View, reference: str) -> dict[str, object]:
    """Return the colouring of a heat-map as the query of its address.

    Parameters
    ----------
    view : View
    reference : {"page", "pair"}
        The maps that share one scale, if requested; the address contains them, so that its picture never changes.
    """
    query: dict[str, object] = {"map": None if view.colours == "red-blue" else view.colours}
    if view.scale == "page":
        query["scale"] = reference
        if reference == "page":
            query.update(view.listed())
    return query


@dataclass(frozen=True, slots=True)
class ServedPictures:
    """Pictures of a served run, at content-addressed URLs."""

    urls: Urls
    story: Story
    view: View
    place: Callable[[Side, int], Place]
    """Gives the position of the heat-map on the original."""
    with_maps: bool = True
    """Whether the run has heat-maps."""

    @property
    def lower_row(self) -> LowerRow:
        """Return the kind of picture under the training images."""
        return "difference"

    def test(self) -> str:
        """Return the test image."""
        return self.urls.image(self.story.run_digest, "test", self.story.explanation.test.index)

    def train(self, index: int) -> str:
        """Return a training image."""
        return self.urls.image(self.story.run_digest, "train", index)

    def own_map(self) -> MapLayer | None:
        """Return the test image's own heat-map; a request for it also starts the page's other maps."""
        # The own map sums over all training images; on its scale the pairs would look blank, so it has its own.
        return self._map("own", "test", {**map_query(self.view, "page"), "scale": None}, self.view.listed())

    def evidence_map(self, group: Group) -> MapLayer | None:
        """Return the map of all training images that support or oppose on the test image."""
        return self._map(group, "test", {**map_query(self.view, "page"), "scale": None})

    def pair_map(self, index: int, side: Side) -> MapLayer | None:
        """Return one of the two heat-maps of a pair."""
        ranked = {"rank": self.view.listed()["rank"]} if side == "train" else None
        return self._map(index, side, map_query(self.view, "page"), ranked)

    def lower_map(self, index: int) -> MapLayer | None:
        """Return how a pair's map on the test image differs from what its side shares."""
        return self._map(index, "difference", map_query(self.view, "page"))

    def _map(
        self,
        partner: int | Group,
        side: Literal[Side, "difference"],
        colouring: Query,
        page: Query | None = None,
    ) -> MapLayer | None:
        if not self.with_maps:
            return None
        decision = self.story.explanation.decision
        if side == "train" and isinstance(partner, int):
            where = self.place("train", partner)
        else:
            where = self.place("test", decision.test)
        return served_map(self.urls, self.story.run_digest, decision, partner, side, where, colouring, page)


@dataclass(frozen=True, slots=True)
class StoredPictures:
    """Pictures stored with a shared link: heat-maps as signed numbers, or, in earlier links, as painted layers."""

    urls: Urls
    link: str
    snapshot: Mapping[str, Any]

    @property
    def lower_row(self) -> LowerRow:
        """Return the kind of picture under the training images."""
        return "difference" if self._signed else "map"

    def test(self) -> str:
        """Return the test image."""
        return self.urls.shared_media(self.link, "test")

    def train(self, index: int) -> str:
        """Return a training image."""
        return self.urls.shared_media(self.link, f"train-{index}")

    def own_map(self) -> MapLayer:
        """Return the test image's own heat-map."""
        return self._map("map-own", "own")

    def evidence_map(self, group: Group) -> MapLayer | None:
        """Return the map of all training images that support or oppose; None in earlier links, which have none."""
        return self._map(f"map-{group}", "own") if self._signed else None

    def pair_map(self, index: int, side: Side) -> MapLayer:
        """Return one of the two heat-maps of a pair; of those with a signed one, only a pair page's has ``test``."""
        return self._map(f"map-{index}-{side}", "pair")

    def lower_map(self, index: int) -> MapLayer:
        """Return the map under a training image, of the kind ``lower_row``."""
        return self._map(f"map-{index}-{'difference' if self._signed else 'test'}", "pair")

    @property
    def _signed(self) -> bool:
        return "places" in self.snapshot

    def _map(self, name: str, group: str) -> MapLayer:
        layer = self.urls.shared_media(self.link, name)
        if not self._signed:
            return MapLayer("", layer)
        where = place(self.snapshot, name)
        return MapLayer(self.urls.shared_media(self.link, f"{name}.i16"), layer, *where.grid, box_of(where), group)
