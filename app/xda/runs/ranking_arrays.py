"""Reads from a run what the rankings "for this image" and "effect of removal" were given by the build."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xda.storage.run import layout
from xda.storage.run.folder import RunFolder


def read_removal(run: RunFolder, c: float) -> dict[str, NDArray[Any]]:
    """Return the stored arrays of the curvature of a surrogate; none for runs of earlier versions."""
    names = {name: layout.removal(c, name) for name in layout.REMOVAL}
    return {name: run.array(path) for name, path in names.items() if path in run.manifest.files}


def read_class_means(run: RunFolder) -> NDArray[np.float64] | None:
    """Return the stored mean features of each class, shape (K, d); None for runs of earlier versions."""
    name = layout.split_array("train", layout.CLASS_MEANS)
    return np.asarray(run.array(name)) if name in run.manifest.files else None
