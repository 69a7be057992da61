"""Which files a run consists of, and how their shapes depend on each other.

The table is checked when a run is committed and when one is opened, from the manifest alone; that the files are what
the manifest says is the business of :mod:`xda.storage.run.folder`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from xda.errors import RunError
from xda.storage.run.manifest import FileEntry, Manifest, SurrogateEntry
from xda.storage.run.tables import ColumnType

WEIGHTS = "network.safetensors"
LEFT_OUT = "left_out.parquet"

NEEDED_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "train.parquet": ("label", "predicted"),
    "test.parquet": ("label", "predicted"),
    LEFT_OUT: ("split", "name", "reason"),
}
"""Columns without which a table is refused."""

Dimension = tuple[str, int]
"""What is counted, and how many there must be."""


def image_files(split: str) -> tuple[str, str]:
    """Return the names of the file of all encoded images of a split and of the array of their offsets."""
    return f"{split}/images.bin", f"{split}/image_offsets.npy"


def source_files(split: str) -> tuple[str, str]:
    """Return the names of the file of all sources of a split's images and of the array of their offsets.

    A source says where an image came from. Runs of earlier versions have neither file.
    """
    return f"{split}/sources.bin", f"{split}/source_offsets.npy"


def surrogate_folder(name: str) -> str:
    """Return the folder of a surrogate, relative to the run."""
    return f"surrogates/{name}"


def table_rows(manifest: Manifest, name: str) -> int | None:
    """Return how many rows a table must have; None where the manifest does not say it."""
    left_out = manifest.dataset.left_out
    rows = {"train.parquet": manifest.counts.train, "test.parquet": manifest.counts.test}
    if left_out is not None:
        rows[LEFT_OUT] = left_out.train + left_out.test
    return rows.get(name)


def table_columns(manifest: Manifest, name: str) -> dict[str, ColumnType]:
    """Return the columns that a table of a run may have, with their types; others in the file are never read."""
    if name == LEFT_OUT:
        return dict.fromkeys(NEEDED_COLUMNS[LEFT_OUT], "text")
    if name not in NEEDED_COLUMNS:
        return {}
    columns: dict[str, ColumnType] = dict.fromkeys(("label", "predicted"), "integer")
    columns |= dict.fromkeys(("confidence", "margin"), "number")
    for surrogate in manifest.surrogates:
        if name == "train.parquet":
            columns |= dict.fromkeys((f"slack {surrogate.name}", f"self_influence {surrogate.name}"), "number")
        else:
            columns[f"surrogate_predicted {surrogate.name}"] = "integer"
    return columns


def _split_arrays(manifest: Manifest, split: str, count: int) -> Iterator[tuple[str, str, tuple[Dimension, ...]]]:
    images = (f"{split} images", count)
    yield image_files(split)[1], "<i8", ((f"{split} images plus one", count + 1),)
    if any(name in manifest.files for name in source_files(split)):
        yield source_files(split)[1], "<i8", ((f"{split} images plus one", count + 1),)
    yield f"{split}/features.npy", "<f4", (images, ("features", manifest.counts.features))
    yield f"{split}/logits.npy", "<f4", (images, ("classes", len(manifest.classes)))


def _surrogate_arrays(
    manifest: Manifest, surrogate: SurrogateEntry
) -> Iterator[tuple[str, str, tuple[Dimension, ...]]]:
    folder = surrogate_folder(surrogate.name)
    classes = ("classes", len(manifest.classes))
    width = ("features and intercept", manifest.counts.features + (manifest.intercept == "augment"))
    entry = manifest.files.get(f"{folder}/dual_data.npy")
    entries = ("dual variables", entry.shape[0] if entry is not None and entry.shape else 0)
    yield f"{folder}/coef.npy", "<f8", (classes, width)
    yield f"{folder}/support.npy", "<i8", (("support vectors", surrogate.n_support),)
    yield f"{folder}/dual_data.npy", "<f8", (entries,)
    yield f"{folder}/dual_indices.npy", "<i4", (entries,)
    yield f"{folder}/dual_indptr.npy", "<i8", (("support vectors plus one", surrogate.n_support + 1),)
    yield f"{folder}/slack.npy", "<f4", (("train images", manifest.counts.train),)
    yield f"{folder}/test_logits.npy", "<f8", (("test images", manifest.counts.test), classes)


def _check_array(where: str, name: str, entry: FileEntry, dtype: str, dimensions: tuple[Dimension, ...]) -> None:
    if entry.dtype != dtype:
        raise RunError(
            f"{where}: {name} holds values of type {entry.dtype}, a run needs {dtype}. Rebuild it with `xda build`."
        )
    found = entry.shape or ()
    expected = tuple(size for _, size in dimensions)
    if found != expected:
        meaning = " x ".join(f"{size} {what}" for what, size in dimensions)
        raise RunError(
            f"{where}: {name} has shape {list(found)}, but the manifest says {meaning}: "
            "these parts do not belong together. Rebuild the run with `xda build`."
        )


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
    plain = [WEIGHTS, *(f"{split}.parquet" for split in counts), *(image_files(split)[0] for split in counts)]
    plain += [source_files(split)[0] for split in counts if source_files(split)[1] in manifest.files]
    arrays = [row for split, count in counts.items() for row in _split_arrays(manifest, split, count)]
    arrays += [row for surrogate in manifest.surrogates for row in _surrogate_arrays(manifest, surrogate)]
    for name in [*plain, *(name for name, _, _ in arrays)]:
        if name not in manifest.files:
            raise RunError(f"{where}: the manifest does not list {name}. Rebuild the run with `xda build`.")
    for name, dtype, dimensions in arrays:
        _check_array(where, name, manifest.files[name], dtype, dimensions)
    weights = manifest.files[WEIGHTS].sha256
    if weights != manifest.network.weights_sha256:
        raise RunError(
            f"{where}: {WEIGHTS} has SHA-256 {weights}, but the features were computed with the weights "
            f"{manifest.network.weights_sha256}. Rebuild the run with `xda build`."
        )
