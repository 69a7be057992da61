"""Addresses of the pictures of an explanation, from the served run or from a shared link."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from xda.data.geometry import Place
from xda.present.story import Story
from xda.web.urls import Urls
from xda.web.view import View

Side = Literal["test", "train"]


class Pictures(Protocol):
    """Addresses of the pictures of one explanation."""

    def test(self) -> str:
        """Return the test image."""

    def train(self, index: int) -> str:
        """Return a training image."""

    def own_map(self) -> str:
        """Return the test image's own heat-map."""

    def pair_map(self, index: int, side: Side) -> str:
        """Return one of the two heat-maps of a pair."""


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


def layer_name(side: Side, where: Place | None) -> str:
    """Return the file name of the heat-map layer that fits the original."""
    return f"{side}.png" if where is None or where.is_whole else f"{side}.svg"


@dataclass(frozen=True, slots=True)
class ServedPictures:
    """Pictures of a served run, at content-addressed URLs."""

    urls: Urls
    story: Story
    view: View
    with_maps: bool = True
    """Whether the run has heat-maps; without them their addresses are empty."""
    place: Callable[[Side, int], Place] | None = None
    """Gives the position of the heat-map on the original; without it, maps keep the network's form."""

    def test(self) -> str:
        """Return the test image."""
        return self.urls.image(self.story.run_digest, "test", self.story.explanation.test.index)

    def train(self, index: int) -> str:
        """Return a training image."""
        return self.urls.image(self.story.run_digest, "train", index)

    def own_map(self) -> str:
        """Return the test image's own heat-map; a request for it also starts the page's other maps."""
        return self._map(None, "test")

    def pair_map(self, index: int, side: Side) -> str:
        """Return one of the two heat-maps of a pair."""
        return self._map(index, side)

    def _map(self, index: int | None, side: Side) -> str:
        if not self.with_maps:
            return ""
        told = self.story.explanation
        shown = told.test.index if index is None or side == "test" else index
        # The own map sums over all training images; on its scale the pairs would look blank, so it has its own.
        query = {**map_query(self.view, "page"), "scale": None, **self.view.listed()}
        return self.urls.relevance(
            self.story.run_digest,
            told.decision,
            index,
            layer_name(side, None if self.place is None else self.place(side, shown)),
            query if index is None else map_query(self.view, "page"),
        )


@dataclass(frozen=True, slots=True)
class StoredPictures:
    """Pictures stored with a shared link."""

    urls: Urls
    link: str

    def test(self) -> str:
        """Return the test image."""
        return self.urls.shared_media(self.link, "test")

    def train(self, index: int) -> str:
        """Return a training image."""
        return self.urls.shared_media(self.link, f"train-{index}")

    def own_map(self) -> str:
        """Return the test image's own heat-map."""
        return self.urls.shared_media(self.link, "map-own")

    def pair_map(self, index: int, side: Side) -> str:
        """Return one of the two heat-maps of a pair."""
        return self.urls.shared_media(self.link, f"map-{index}-{side}")
