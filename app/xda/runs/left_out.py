"""Unusable images that the build left out: reads them from a run and describes them."""

from __future__ import annotations

from dataclasses import dataclass

from xda.data.dataset import by_reason
from xda.numerals import count
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


def left_out_lines(run: RunFolder) -> list[str]:
    """Return lines that name the left-out images of a run, grouped by reason (``by_reason``)."""
    left_out = read_left_out(run)
    lines = by_reason([(each.name, each.reason) for each in left_out])
    return [*lines, f"{layout.LEFT_OUT} in the run names them all"] if len(lines) < len(left_out) else lines


def left_out_in_words(run: RunFolder) -> str:
    """Return ``3 images left out as unusable (2 for training, 1 for testing)``; empty if there are none."""
    entry = run.manifest.dataset.left_out
    if entry is None:
        return ""
    total = entry.train + entry.test
    noun = "image" if total == 1 else "images"
    splits = f"{count(entry.train)} for training, {count(entry.test)} for testing"
    return f"{count(total)} {noun} left out as unusable ({splits})"
