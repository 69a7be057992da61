"""Images in Parquet files as Hugging Face writes them: encoded images in one column, labels in another, many shards.

The image column holds bytes, or a struct with ``bytes`` and ``path``; the schema's metadata hold the class names. Only
pyarrow is needed. Images are read in order, a few at a time.
"""

from __future__ import annotations

import glob
import json
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xda.data.checking import checked_split, examine_files, for_people
from xda.data.dataset import ImageDataset, ImageSource, ImageSplit
from xda.data.regular_files import open_regular
from xda.errors import ConfigError, DataError
from xda.progress import Progress, silent

_BYTES_AT_ONCE = 4 * 2**20
_MOST_ROWS_AT_ONCE = 256
_AHEAD = 64
"""Skipping up to so many rows is cheaper than opening the shard anew."""
_IMAGE_NAMES = ("image", "img")
_LABEL_NAMES = ("label", "labels", "fine_label")


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of the shards that are read."""

    image: str
    label: str


class ParquetSource(ImageSource):
    """Images in rows of Parquet files; access in ascending order is cheapest.

    Parameters
    ----------
    shards : sequence of str
        Files, in order.
    rows : ndarray of int64, shape (N,)
        Rows over all shards of the N images, ascending.
    starts : sequence of int
        Row over all shards with which each shard begins.
    columns : Columns
    names : sequence of str, optional
        Names of the shards in origins; by default their paths.
    """

    def __init__(
        self,
        shards: Sequence[str],
        rows: NDArray[np.int64],
        starts: Sequence[int],
        columns: Columns,
        names: Sequence[str] | None = None,
    ) -> None:
        self._shards = tuple(shards)
        self._names = tuple(names or shards)
        self._rows = rows
        self._starts = tuple(starts)
        self._columns = columns
        self._lock = threading.Lock()
        self._stream: Iterator[bytes | None] = iter(())
        self._next = -1
        self._shard = -1

    def encoded(self, index: int) -> bytes:
        """Return the bytes of an image.

        Raises
        ------
        DataError
            If the shard cannot be read any more.
        """
        shard, row = self._place(index)
        with self._lock:
            if shard != self._shard or not self._next <= row <= self._next + _AHEAD:
                self._stream = read_images(self._shards[shard], self._columns, row - self._starts[shard])
                self._shard, self._next = shard, row
            data = None
            while self._next <= row:
                data = next(self._stream, None)
                self._next += 1
        if data is None:
            raise DataError(f"{self._shards[shard]} has changed since the data set was loaded; start again.")
        return data

    def origin(self, index: int) -> str:
        """Return the file and the row in it, from 0."""
        shard, row = self._place(index)
        return row_name(self._names[shard], row - self._starts[shard])

    def _place(self, index: int) -> tuple[int, int]:
        """Return the shard of an image, and its row over all shards."""
        row = int(self._rows[index])
        return bisect_right(self._starts, row) - 1, row


def row_name(shard: str, row: int) -> str:
    """Return the name of a row of a file: ``train.parquet, row 17``."""
    return f"{for_people(shard)}, row {row}"


def read_images(shard: str, columns: Columns, first: int = 0) -> Iterator[bytes | None]:
    """Yield the encoded images of a shard from a row on, holding few of them in memory.

    Parameters
    ----------
    shard : str
        A Parquet file.
    columns : Columns
    first : int
        Row to begin with; row groups before it are not read.

    Raises
    ------
    DataError
        If the file cannot be read.
    """
    with closing(_open(shard)) as file:
        in_struct = pa.types.is_struct(file.schema_arrow.field(columns.image).type)
        path = f"{columns.image}.bytes" if in_struct else columns.image
        begin = 0
        for group in range(file.num_row_groups):
            n_rows = file.metadata.row_group(group).num_rows
            if begin + n_rows > first:
                skip = max(0, first - begin)
                try:
                    for batch in file.iter_batches(_rows_at_once(file, group), row_groups=[group], columns=[path]):
                        column = batch.column(0)
                        values = column.field("bytes") if in_struct else column
                        for value in values.slice(min(skip, len(values))):
                            yield value.as_py()
                        skip = max(0, skip - len(values))
                except (pa.ArrowException, OSError) as error:
                    raise DataError(f"{shard} is damaged ({error}); fetch it again.") from None
            begin += n_rows


def load(
    train: Sequence[str],
    test: Sequence[str],
    *,
    image: str | None = None,
    label: str | None = None,
    name: str = "parquet",
    base: Path | None = None,
    kept: Path | None = None,
    progress: Progress = silent,
) -> ImageDataset:
    """Load a data set from Parquet files.

    Parameters
    ----------
    train, test : sequence of str
        Files, folders of files, or patterns such as ``data/train-*.parquet``; shards are taken in the order of their
        names.
    image, label : str, optional
        Names of the columns; by default their usual names.
    name : str
        Of the data set.
    base : Path, optional
        Folder of the data set, from which origins are seen.
    kept : Path, optional
        Folder that keeps the verdicts on images between calls.
    progress : Progress

    Returns
    -------
    ImageDataset
        With the class names of the schema's metadata; without them text labels name the classes themselves, and whole
        numbers are their own names.

    Raises
    ------
    ConfigError
        If there is no such column.
    DataError
        If files are missing or damaged, or labels are missing, negative or unknown.
    """
    shards = {"train": find_shards(train), "test": find_shards(test)}
    columns = find_columns(shards["train"][0], image, label)
    raw = {split: [_read_labels(shard, columns) for shard in files] for split, files in shards.items()}
    for split, values in raw.items():
        if not any(values):
            raise DataError(f"The Parquet files of the {split} split, such as {shards[split][0]}, hold no rows.")
    classes = _classes(shards["train"][0], columns, raw["train"])
    splits = {}
    for split, files in shards.items():
        labels = [_numbered(values, classes, shard) for values, shard in zip(raw[split], files, strict=True)]
        own = None if kept is None else kept / f"{split}.parquet"
        splits[split] = _split(files, labels, columns, base, own, progress, f"Checking images: {split}")
    return ImageDataset(name=name, title=name, classes=classes, train=splits["train"], test=splits["test"])


def find_shards(patterns: Sequence[str]) -> list[str]:
    """Return the files that match patterns; each pattern's files in the order of their names.

    Raises
    ------
    DataError
        If a pattern matches nothing.
    """
    found: list[str] = []
    for pattern in patterns:
        meant = f"{glob.escape(pattern)}/*.parquet" if Path(pattern).is_dir() else pattern
        matches = [pattern] if Path(pattern).is_file() else sorted(glob.glob(meant, recursive=True))
        if not matches:
            raise DataError(f"There is no Parquet file {meant}; check the path in the configuration.")
        found += matches
    return list(dict.fromkeys(found))


def find_columns(shard: str, image: str | None = None, label: str | None = None) -> Columns:
    """Return the columns of a shard with images and labels; errors as for ``load``."""
    with closing(_open(shard)) as file:
        schema = file.schema_arrow
    pictures = [field.name for field in schema if _holds_images(field.type)]
    labels = [field.name for field in schema if _holds_labels(field.type)]
    return Columns(
        image=_column(shard, schema, "image", image, _IMAGE_NAMES, pictures),
        label=_column(shard, schema, "label", label, _LABEL_NAMES, labels),
    )


def _column(
    shard: str, schema: pa.Schema, what: str, asked: str | None, usual: tuple[str, ...], fitting: list[str]
) -> str:
    """Return the requested column, else one with a usual name, else the only one that fits."""
    found = asked or next((name for name in usual if name in fitting), fitting[0] if len(fitting) == 1 else None)
    if found is None or found not in fitting:
        needed = {"image": "bytes, or a struct with bytes", "label": "whole numbers or text"}[what]
        raise ConfigError(
            f"{shard}: which column holds the {what}s ({needed})? "
            f"{'None is certain' if found is None else f'Not {found!r}'}; it has {', '.join(schema.names)}. "
            f"Name it as '{what}' under [data]."
        )
    return found


def class_names(schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    """Return the class names that Hugging Face keeps in the metadata of a schema, or None."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        names = features[label]["names"]
    except (ValueError, KeyError, TypeError):
        return None
    if isinstance(names, dict):
        names = [names[key] for key in sorted(names, key=int)]
    return tuple(str(each) for each in names) if isinstance(names, list) and names else None


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and _is_binary(kind.field(place).type)
    return _is_binary(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _holds_labels(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _open(shard: str) -> pq.ParquetFile:
    try:
        open_regular(shard).close()
        # mapped into memory, so that a row group is read page by page
        return pq.ParquetFile(shard, pre_buffer=False, memory_map=True)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{shard} cannot be read as Parquet ({error}); fetch it again.") from None


def _rows_at_once(file: pq.ParquetFile, group: int) -> int:
    """Return how many rows of a row group to decode at a time, judged by their size in bytes."""
    about = file.metadata.row_group(group)
    return int(max(1, min(_MOST_ROWS_AT_ONCE, _BYTES_AT_ONCE * about.num_rows // max(1, about.total_byte_size))))


def _read_labels(shard: str, columns: Columns) -> list[Any]:
    with closing(_open(shard)) as file:
        for name in (columns.image, columns.label):
            if name not in file.schema_arrow.names:
                raise ConfigError(f"{shard} has no column '{name}', which the first shard has; are these one data set?")
        try:
            return list(file.read(columns=[columns.label]).column(0).to_pylist())
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{shard} is damaged ({error}); fetch it again.") from None


def _classes(shard: str, columns: Columns, labels: list[list[Any]]) -> tuple[str, ...]:
    with closing(_open(shard)) as file:
        names = class_names(file.schema_arrow, columns.label)
    if names is not None:
        return names
    known = {value for values in labels for value in values if value is not None}
    if any(isinstance(value, str) for value in known):
        return tuple(sorted(map(str, known)))
    return tuple(str(k) for k in range(max(known, default=-1) + 1))


def _numbered(values: list[Any], classes: tuple[str, ...], shard: str) -> list[int]:
    places = {name: k for k, name in enumerate(classes)}
    numbers: list[int] = []
    for row, value in enumerate(values):
        number = places.get(value) if isinstance(value, str) else value
        if number is None or not 0 <= number < len(classes):
            found = (
                "there is no label" if value is None else f"the label {value!r} is none of the {len(classes)} classes"
            )
            raise DataError(
                f"{shard}, row {row}: {found}; a data set needs a label for every image, test images included."
            )
        numbers.append(int(number))
    return numbers


def _split(
    shards: list[str],
    labels: list[list[int]],
    columns: Columns,
    base: Path | None,
    kept: Path | None,
    progress: Progress,
    stage: str,
) -> ImageSplit:
    verdicts = examine_files(
        shards, lambda shard: read_images(shard, columns), kept=kept, progress=progress, stage=stage
    )
    paths = [Path(shard).absolute() for shard in shards]
    names = [path.relative_to(base).as_posix() if base and base in path.parents else path.name for path in paths]
    starts = [0, *accumulate(map(len, labels))][:-1]
    for shard, own, each in zip(shards, labels, verdicts, strict=True):
        if len(own) != len(each):
            raise DataError(f"{shard} changed while it was read, or has images that cannot be reached; start again.")
    return checked_split(
        (
            (row_name(shard, row), label, verdict)
            for shard, own, each in zip(shards, labels, verdicts, strict=True)
            for row, (label, verdict) in enumerate(zip(own, each, strict=True))
        ),
        lambda rows: ParquetSource(shards, rows, starts, columns, names),
    )
