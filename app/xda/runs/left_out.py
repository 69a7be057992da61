"""Unusable images that the build left out: reads them from a run."""

from __future__ import annotations

from dataclasses import dataclass

from xda.storage.run import layout
from xda.storage.run.folder import RunFolder


@dataclass(frozen=True, slots=True)
class LeftOutImage:
    """One unusable image that is not in the run."""

    split: str
    name: str
    """Its path, or its position in the data set."""
    reason: str


def read_left_out(run: RunFolder) -> tuple[LeftOutImage, ...]:
    """Return the left-out images of a run, in the order of the data set."""
    if run.manifest.dataset.left_out is None:
        return ()
    columns = run.table(layout.LEFT_OUT).to_pydict()
    rows = zip(columns["split"], columns["name"], columns["reason"], strict=True)
    return tuple(LeftOutImage(str(split), str(name), str(reason)) for split, name, reason in rows)
