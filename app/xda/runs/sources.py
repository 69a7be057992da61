"""Sources of the images of a run: a path, a Parquet file and row, or a position in the data set.

One file holds the texts of a split back to back, each with a zero byte at its end; an array holds their offsets. Both
are memory-mapped, so reading a few of a million sources touches only those. Runs of earlier versions have no sources.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from xda.attribution.results import SourceLookup
from xda.data.checking import for_people
from xda.decision import Split
from xda.errors import NotFoundError, RunError
from xda.storage.run.folder import RunFolder
from xda.storage.run.layout import source_files

MOST_BYTES = 4096
"""Longest source, the limit of Linux for a path; longer ones lose their beginning."""
MOST_NAMED = 5
"""A message names at most so many candidates."""
_END = b"\0"
_CUT = "…"


def plain(text: str) -> str:
    """Make a source safe to show: one line without control characters, of bounded length.

    Parameters
    ----------
    text : str
        Any text from a data set or from the file of a run.
    """
    text = for_people(text)
    return text if len(text) <= MOST_BYTES // 4 or len(text.encode()) <= MOST_BYTES else _tail(text)


def pack(sources: Iterable[str], total: int) -> tuple[bytes, NDArray[np.int64]]:
    """Pack sources into the two files of a run: texts and offsets, (total + 1,)."""
    offsets = np.zeros(total + 1, dtype=np.int64)
    content = bytearray()
    for place, source in enumerate(sources, start=1):
        content += plain(source).encode() + _END
        offsets[place] = len(content)
    return bytes(content), offsets


class Sources:
    """The sources of one split.

    Parameters
    ----------
    run : RunFolder
    split : {"train", "test"}

    Raises
    ------
    RunError
        The two files contradict each other.
    """

    def __init__(self, run: RunFolder, split: Split) -> None:
        content, offsets = source_files(split)
        self._run, self._split = run, split
        self.known = content in run.manifest.files
        """Whether the run has sources."""
        if not self.known:
            return
        self._content = memoryview(run.content(content).data)
        self._offsets = np.asarray(run.array(offsets), dtype=np.int64)
        if (
            self._offsets[0] != 0
            or self._offsets[-1] != len(self._content)
            or not (self._offsets[:-1] < self._offsets[1:]).all()
        ):
            raise RunError(f"{run.path}: {offsets} does not fit {content}. Rebuild the run with `xda build`.")

    @property
    def lookup(self) -> SourceLookup | None:
        """The function that returns sources by positions; None if the run has no sources."""
        return self.of if self.known else None

    def of(self, indices: NDArray[np.integer]) -> list[str | None]:
        """Return the sources of images by their positions; None if the run has no sources."""
        if not self.known:
            return [None] * len(indices)
        starts, ends = self._offsets.take(indices).tolist(), self._offsets[1:].take(indices).tolist()
        return list(map(self._text, starts, ends))

    def one(self, index: int) -> str | None:
        """Return the source of one image."""
        return self._text(int(self._offsets[index]), int(self._offsets[index + 1])) if self.known else None

    def find(self, text: str) -> int:
        """Return the image whose source matches a text: equal to it, ending with "/text", or an end of it.

        Parameters
        ----------
        text : str
            A shown source, the end of one (a file name, for example), or a longer path that ends with one.

        Raises
        ------
        NotFoundError
            No image or several images match (the message lists them), or the run has no sources.
        """
        kind = "training" if self._split == "train" else "test"
        if not self.known:
            raise NotFoundError(
                f"Run '{self._run.manifest.id}' has no sources of its images, since an earlier version built it; "
                f"give the number of the {kind} image, or build the run again."
            )
        asked = plain(text)
        for candidates in self._candidates(asked):
            if len(candidates) == 1:
                return candidates[0]
            if candidates:
                named = ", ".join(f"{self.one(each)} ({each})" for each in candidates[:MOST_NAMED])
                more = f" and {len(candidates) - MOST_NAMED:,} more" if len(candidates) > MOST_NAMED else ""
                raise NotFoundError(
                    f"{len(candidates):,} {kind} images of run '{self._run.manifest.id}' come from '{asked}': "
                    f"{named}{more}. Give more of the path, or the number."
                )
        raise NotFoundError(
            f"No {kind} image of run '{self._run.manifest.id}' comes from '{asked}'; an example is "
            f"{self.one(0)}. Give a path, the end of one, or a number."
        )

    def _candidates(self, asked: str) -> Iterator[list[int]]:
        """Yield images whose source equals the text, then those whose source ends with it, then those that end it."""
        ends = self._ending(asked)
        yield [place for place, whole in ends if whole]
        yield [place for place, _ in ends]
        while "/" in asked:
            asked = asked.partition("/")[2]
            yield [place for place, whole in self._ending(asked) if whole]

    def _ending(self, text: str) -> list[tuple[int, bool]]:
        """Return the images whose source ends with a text, and whether the text is the whole source."""
        if not text:
            return []
        starts = [match.start() for match in re.finditer(re.escape(text.encode()) + _END, self._content)]
        before = [self._content[start - 1] if start else 0 for start in starts]
        places = (np.searchsorted(self._offsets, starts, side="right") - 1).tolist()
        return [(place, byte == 0) for place, byte in zip(places, before, strict=True) if byte == 0 or byte == ord("/")]

    def _text(self, start: int, end: int) -> str:
        return plain(str(self._content[max(start, end - 4 * MOST_BYTES) : end - 1], "utf-8", "replace"))


def _tail(text: str) -> str:
    return _CUT + text.encode()[-(MOST_BYTES - len(_CUT.encode())) :].decode("utf-8", "ignore")
