"""Matches the training images of two runs, by position over the same data, else by the images' content.

In: two open run folders. Out: a :class:`Matching`, or a refusal that says why the two cannot be compared. Runs over the
same data set (the manifest has its fingerprint) match by position. If only labels were corrected, the hashes of the
image files in the manifests are still equal. If images were added or removed, the encoded images are hashed, once for
each pair of runs.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from xda.attribution.alignment import NOWHERE
from xda.decision import Split
from xda.errors import InvalidRequestError
from xda.storage.run.layout import image_files

if TYPE_CHECKING:
    from xda.storage.run.folder import RunFolder

By = Literal["run", "data", "images", "content"]
MOST_BYTES = 2_000_000_000
"""At most so many bytes of images of both runs are hashed: some seconds' work."""
KEPT_MATCHINGS = 8
"""So many matchings by content are kept: 16 bytes for each training image."""


@dataclass(frozen=True, slots=True)
class Matching:
    """The correspondence between the training images of two runs."""

    by: By
    """The same run; the same data; the same images with other labels; or matched by content."""
    n_common: int
    """Number of training images in both runs."""
    forward: NDArray[np.int64] | None = None
    """Position of each training image of the first run in the second, or ``NOWHERE``; None: the same position."""
    backward: NDArray[np.int64] | None = None
    """The inverse."""


def match_runs(first: RunFolder, second: RunFolder, test: int) -> Matching:
    """Match the training images of two runs, for a comparison on one test image.

    Parameters
    ----------
    first, second : RunFolder
    test : int
        A test image of both runs; it must be the same image.

    Raises
    ------
    InvalidRequestError
        The runs have different classes, different test images at this position, no training image in common, or too
        many images to hash.
    """
    names = f"Runs '{first.manifest.id}' and '{second.manifest.id}'"
    if first.manifest.classes != second.manifest.classes:
        raise InvalidRequestError(
            f"{names} have different classes, {len(first.manifest.classes)} and {len(second.manifest.classes)} of them "
            "or under other names, so a logit of the one is none of the other; compare runs with the same classes."
        )
    n_train = first.manifest.counts.train
    if first.digest == second.digest:
        return Matching("run", n_train)
    if first.manifest.dataset.fingerprint == second.manifest.dataset.fingerprint:
        return Matching("data", n_train)
    if not _same_images(first, second, "test") and first.image("test", test) != second.image("test", test):
        raise InvalidRequestError(
            f"{names} were built from different data, and test image {test:,} of the one is not that of the other; "
            "compare runs with the same test images."
        )
    if _same_images(first, second, "train"):
        return Matching("images", n_train)
    found = _by_content(first, second)
    if not found.n_common:
        raise InvalidRequestError(
            f"{names} have no training image in common, so there are no contributions to be matched; "
            "compare runs over the same data."
        )
    return found


def _same_images(first: RunFolder, second: RunFolder, split: Split) -> bool:
    return all(first.manifest.files[name].sha256 == second.manifest.files[name].sha256 for name in image_files(split))


@lru_cache(maxsize=KEPT_MATCHINGS)
def _by_content(first: RunFolder, second: RunFolder) -> Matching:
    content, _ = image_files("train")
    size = first.manifest.files[content].bytes + second.manifest.files[content].bytes
    if size > MOST_BYTES:
        raise InvalidRequestError(
            f"Runs '{first.manifest.id}' and '{second.manifest.id}' were built from different data, and their training "
            f"images, {size / 1e9:.1f} GB, are too many to be matched by content ({MOST_BYTES / 1e9:.0f} GB at most); "
            "build both from the same data set."
        )
    # The k-th of several equal images matches the k-th of them on the other side.
    waiting: defaultdict[bytes, deque[int]] = defaultdict(deque)
    for index, key in enumerate(_keys(second)):
        waiting[key].append(index)
    forward = np.full(first.manifest.counts.train, NOWHERE, dtype=np.int64)
    backward = np.full(second.manifest.counts.train, NOWHERE, dtype=np.int64)
    for index, key in enumerate(_keys(first)):
        if waiting.get(key):
            forward[index] = waiting[key].popleft()
            backward[forward[index]] = index
    return Matching("content", int(np.count_nonzero(forward != NOWHERE)), forward, backward)


def _keys(run: RunFolder) -> list[bytes]:
    """Return a hash of every training image as it is stored."""
    images = (run.image("train", index) for index in range(run.manifest.counts.train))
    return [blake2b(image, digest_size=16).digest() for image in images]
