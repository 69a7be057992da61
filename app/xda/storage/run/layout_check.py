"""Checks a manifest against ``layout``: all files are there, and their types and shapes belong together.

Runs are checked at commit and at open, from the manifest alone; :mod:`xda.storage.run.folder` checks the files
against the manifest.
"""

from __future__ import annotations

from collections.abc import Iterable

from xda.decision import SPLITS
from xda.errors import RunError
from xda.storage.run import layout
from xda.storage.run.layout import ArraySpec
from xda.storage.run.manifest import FileEntry, Manifest
from xda.storage.run.parquet_tables import ColumnType

_PLUS_ONE = " plus one"


def table_rows(manifest: Manifest, name: str) -> int | None:
    """Return how many rows a table must have; None if the manifest does not give it."""
    left_out = manifest.dataset.left_out
    rows = {"train.parquet": manifest.counts.train, "test.parquet": manifest.counts.test}
    if left_out is not None:
        rows[layout.LEFT_OUT] = left_out.train + left_out.test
    return rows.get(name)


def table_columns(manifest: Manifest, name: str) -> dict[str, ColumnType]:
    """Return the columns that a table of a run may have, with their types; others in the file are never read."""
    return {
        column: spec.type
        for spec in layout.TABLES.get(name, ())
        for column in (
            [layout.surrogate_column(spec.name, each.name) for each in manifest.surrogates]
            if spec.of_surrogate
            else [spec.name]
        )
    }


def needed_columns(name: str) -> list[str]:
    """Return the required columns of a table."""
    return [spec.name for spec in layout.TABLES.get(name, ()) if spec.needed]


def check_layout(manifest: Manifest, where: str) -> None:
    """Refuse a manifest whose files are incomplete or do not belong together.

    Parameters
    ----------
    manifest : Manifest
        A manifest that is valid in itself.
    where : str
        The run folder, for messages.

    Raises
    ------
    RunError
        A file is not listed, an array's type or shape contradicts the counts, or the weights are not the ones the
        features were computed with; the message names both sides.
    """
    counts = {"train": manifest.counts.train, "test": manifest.counts.test}
    sizes = {f"{split} images": count for split, count in counts.items()} | {
        "classes": len(manifest.classes),
        "class pairs": len(manifest.classes) * (len(manifest.classes) + 1) // 2,
        "features": manifest.counts.features,
        "features and intercept": manifest.counts.features + (manifest.intercept == "augment"),
    }
    for name in (layout.NETWORK, *map(layout.table, SPLITS)):
        _entry(manifest, where, name)
    for split in counts:
        _check_arrays(manifest, where, split, layout.SPLIT_ARRAYS, sizes)
    for surrogate in manifest.surrogates:
        folder = layout.surrogate_folder(surrogate.name)
        own = {"support vectors": surrogate.n_support}
        _check_arrays(manifest, where, folder, layout.SURROGATE_ARRAYS, sizes | own)
    weights = manifest.files[layout.NETWORK].sha256
    if weights != manifest.network.weights_sha256:
        raise RunError(
            f"{where}: {layout.NETWORK} has SHA-256 {weights}, but the features were computed with the weights "
            f"{manifest.network.weights_sha256}. Rebuild the run with `xda build`."
        )


def _check_arrays(
    manifest: Manifest, where: str, folder: str, arrays: Iterable[ArraySpec], sizes: dict[str, int]
) -> None:
    """Check the arrays of one split or surrogate; the first array sets any size that the manifest does not give."""
    sizes = dict(sizes)
    for array in arrays:
        name = f"{folder}/{array.name}.npy"
        names = [name] if array.content is None else [name, f"{folder}/{array.content}"]
        if array.optional and not any(each in manifest.files for each in names):
            continue
        entry, *_ = [_entry(manifest, where, each) for each in names]
        if entry.dtype not in array.dtypes:
            raise RunError(
                f"{where}: {name} holds values of type {entry.dtype}, a run needs {' or '.join(array.dtypes)}. "
                "Rebuild it with `xda build`."
            )
        found = entry.shape or ()
        dimensions = [dimension.format(split=folder) for dimension in array.dimensions]
        for axis, dimension in enumerate(dimensions):
            if dimension.endswith(_PLUS_ONE):
                sizes[dimension] = sizes[dimension.removesuffix(_PLUS_ONE)] + 1
            elif axis < len(found):
                sizes.setdefault(dimension, found[axis])
        if list(found) != [sizes.get(dimension) for dimension in dimensions]:
            meaning = " x ".join(f"{sizes.get(dimension, 0)} {dimension}" for dimension in dimensions)
            raise RunError(
                f"{where}: {name} has shape {list(found)}, but the manifest says {meaning}: "
                "these parts do not belong together. Rebuild the run with `xda build`."
            )


def _entry(manifest: Manifest, where: str, name: str) -> FileEntry:
    entry = manifest.files.get(name)
    if entry is None:
        raise RunError(f"{where}: the manifest does not list {name}. Rebuild the run with `xda build`.")
    return entry
