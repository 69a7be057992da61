"""The images of a run for pages: originals, renditions of bounded size, and the places of heat-maps on them."""

from __future__ import annotations

import threading
from functools import lru_cache

from xda.data.decoding import dimensions, media_type
from xda.data.geometry import Place, Resizing, place_of
from xda.data.renditions import Size, original_will_do, rendition
from xda.decision import Split
from xda.explanation.heatmaps import MapCache, cache_key
from xda.storage.run.folder import RunFolder

AT_ONCE = 2
"""Large images decoded at the same time; one may take a quarter of a gigabyte."""


class ShownImages:
    """Images of one run; safe to use from many threads.

    Parameters
    ----------
    run : RunFolder
    preprocessing : Resizing
        Of the run's network.
    cache : MapCache, optional
        Keeps renditions across restarts.
    """

    def __init__(self, run: RunFolder, preprocessing: Resizing, cache: MapCache | None) -> None:
        self._run = run
        self._preprocessing = preprocessing
        self._cache = cache
        self._turn = threading.BoundedSemaphore(AT_ONCE)
        self._place = lru_cache(maxsize=65_536)(self._find_place)

    def original(self, split: Split, index: int) -> tuple[bytes, str]:
        """Return an original image as it is stored, and its media type; NotFoundError if there is none."""
        content = self._run.image(split, index)
        return content, media_type(content)

    def at_hand(self, split: Split, index: int, size: Size) -> tuple[bytes, str] | None:
        """Return the original if ``shown`` would return it unchanged, else None."""
        content = self._run.image(split, index)
        return (content, media_type(content)) if original_will_do(content, size) else None

    def shown(self, split: Split, index: int, size: Size = "view") -> tuple[bytes, str]:
        """Return an image in the size for pages, and its media type.

        Parameters
        ----------
        split : {"train", "test"}
        index : int
        size : {"view", "thumb"}

        Raises
        ------
        NotFoundError
            If there is no such image.
        """
        if (ready := self.at_hand(split, index, size)) is not None:
            return ready
        key = cache_key(self._run.digest, "rendition", split, index, size)
        content = self._cache.get(key) if self._cache is not None else None
        if content is None:
            with self._turn:
                content = rendition(self._run.image(split, index), size)
            if self._cache is not None:
                self._cache.put(key, content)
        return content, media_type(content)

    def place(self, split: Split, index: int) -> Place:
        """Return the place of the heat-map on an original; NotFoundError if there is no such image."""
        return self._place(split, index)

    def _find_place(self, split: Split, index: int) -> Place:
        return place_of(dimensions(self._run.image(split, index)), self._preprocessing)
