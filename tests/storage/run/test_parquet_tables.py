"""Reading Parquet files without threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xda.storage.run.parquet_tables import read_table

COUNTING = """
import os, sys
from pathlib import Path
from xda.storage.run.parquet_tables import read_table
before = set(os.listdir("/proc/self/task"))
assert read_table(Path(sys.argv[1])).num_rows == 3
print(len(set(os.listdir("/proc/self/task")) - before))
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"label": [1, 2, 3], "name": ["a", "b", "c"]}), path, compression="zstd")
    return path


def test_table_comes_back(table: Path) -> None:
    assert read_table(table).to_pydict() == {"label": [1, 2, 3], "name": ["a", "b", "c"]}
    assert read_table(pa.BufferReader(table.read_bytes())).num_rows == 3
    table.write_bytes(table.read_bytes()[:-9])
    with pytest.raises(pa.ArrowException):
        read_table(table)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="only Linux lists the threads of a process")
def test_read_table_starts_no_thread(table: Path) -> None:
    counted = subprocess.run(
        [sys.executable, "-c", COUNTING, str(table)], capture_output=True, text=True, timeout=60, check=True
    )
    assert counted.stdout.strip() == "0"
