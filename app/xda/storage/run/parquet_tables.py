"""Reads the Parquet files of a run in the calling thread: only known columns, and sizes are checked first.

A Parquet file of some kilobytes may unfold to gigabytes, since a text that is stored once may stand in every row. So
the number of rows and the types are read from the file's end first, unrequested columns are never read, and each
different text is kept once until its length is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ColumnType = Literal["integer", "number", "text"]

LONGEST_TEXT = 4096
"""Largest size of a text in a table, in bytes."""
_MOST_TEXT = 1 << 28
"""Largest size of all different texts of a column together, in bytes."""
_BYTES_A_NUMBER = 16
_PAGE = 1 << 20
_THRIFT_BYTES = 1 << 24
_TYPES: Mapping[ColumnType, Callable[[pa.DataType], bool]] = {
    "integer": pa.types.is_integer,
    "number": pa.types.is_floating,
    "text": lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
}


def read_table(
    source: Path | pa.NativeFile, columns: Mapping[str, ColumnType] | None = None, n_rows: int | None = None
) -> pa.Table:
    """Read a table without starting pyarrow's pool of threads.

    A process that ends just after the pool's start may be aborted by it (seen with pyarrow 26 once in sixty runs of a
    short command), and these tables are small.

    Parameters
    ----------
    source : Path or pyarrow.NativeFile
    columns : mapping of str to {"integer", "number", "text"}, optional
        Columns to read and their types; the file may lack some. By default every column without a check, for tables
        that this process has written.
    n_rows : int, optional
        Rows that the file must have.

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    ValueError
        The file has other rows or types, or too long a text; the message says which. pyarrow raises ValueErrors too.
    pyarrow.ArrowException, OSError
        If it cannot be read.
    """
    if columns is None:
        return pq.ParquetFile(source, pre_buffer=False).read(use_threads=False)
    limits = {"thrift_string_size_limit": _THRIFT_BYTES, "thrift_container_size_limit": _THRIFT_BYTES}
    file = pq.ParquetFile(source, pre_buffer=False, **limits)
    _check_rows(file.metadata, n_rows)
    chosen = [name for name in file.schema_arrow.names if name in columns]
    if len(set(chosen)) != len(chosen):
        raise ValueError("it has two columns of one name")
    for name in chosen:
        _check_type(file.schema_arrow.field(name).type, name, columns[name])
    _check_sizes(file.metadata, {name: columns[name] for name in chosen})
    texts = [name for name in chosen if columns[name] == "text"]
    file = pq.ParquetFile(source, metadata=file.metadata, pre_buffer=False, read_dictionary=texts, **limits)
    table = file.read(columns=chosen, use_threads=False)
    if table.num_rows != file.metadata.num_rows:
        raise ValueError(f"it says {file.metadata.num_rows} rows and has {table.num_rows}")
    for name in chosen:
        _check_values(table[name], name)
    return table


def _check_rows(metadata: pq.FileMetaData, n_rows: int | None) -> None:
    found = sum(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
    if found != metadata.num_rows:
        raise ValueError(f"it says {metadata.num_rows} rows, and its parts {found}")
    if n_rows is not None and n_rows != metadata.num_rows:
        raise ValueError(f"it has {metadata.num_rows} rows, but the manifest says {n_rows} images")


def _check_type(found: pa.DataType, name: str, needed: ColumnType) -> None:
    if pa.types.is_dictionary(found):
        found = found.value_type
    if not _TYPES[needed](found):
        raise ValueError(f"its column '{name}' is of the type {found}, where {needed} is needed")


def _check_sizes(metadata: pq.FileMetaData, chosen: Mapping[str, ColumnType]) -> None:
    unfolded = dict.fromkeys(chosen, 0)
    for group in range(metadata.num_row_groups):
        part = metadata.row_group(group)
        for place in range(part.num_columns):
            column = part.column(place)
            name = column.path_in_schema
            if name not in chosen:
                continue
            if column.num_values != part.num_rows:
                raise ValueError(f"its column '{name}' has not one value in each row")
            unfolded[name] += column.total_uncompressed_size
    for name, size in unfolded.items():
        most = _MOST_TEXT if chosen[name] == "text" else _PAGE + _BYTES_A_NUMBER * metadata.num_rows
        if size > most:
            raise ValueError(f"its column '{name}' unfolds to {size:,} bytes, more than {most:,}")


def _check_values(column: pa.ChunkedArray, name: str) -> None:
    if column.null_count:
        raise ValueError(f"its column '{name}' has rows without a value")
    for chunk in column.chunks:
        if not isinstance(chunk, pa.DictionaryArray):
            continue
        longest = pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0
        if longest > LONGEST_TEXT:
            raise ValueError(f"its column '{name}' has a text of {longest:,} bytes, more than {LONGEST_TEXT:,}")
