"""The Parquet files of a run, read in the thread that asks."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def read_table(source: Path | pa.NativeFile) -> pa.Table:
    """Return a table without waking pyarrow's pool of threads.

    A process that ends just after the pool began may be aborted by it (seen with pyarrow 26 once in sixty runs of a
    short command), and these tables are small.

    Parameters
    ----------
    source : Path or pyarrow.NativeFile

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    pyarrow.ArrowException, OSError
        If it cannot be read.
    """
    return pq.ParquetFile(source, pre_buffer=False).read(use_threads=False)
