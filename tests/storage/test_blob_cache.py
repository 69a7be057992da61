"""The cache on disk: hits, damage, eviction, several processes, a disk that cannot be written."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from xda.storage import blob_cache
from xda.storage.blob_cache import BlobCache

WRITE_MUCH = """
import sys
from pathlib import Path
from xda.storage.blob_cache import BlobCache
cache = BlobCache(Path(sys.argv[1]), 20_000)
for number in range(300):
    cache.put(f"{number % 50}", f"{number % 50}".encode() * 400)
    for other in range(0, 50, 7):
        found = cache.get(f"{other}")
        assert found is None or found == f"{other}".encode() * 400
"""


def entries(folder: Path) -> list[Path]:
    """Return the files of all entries."""
    return [path for path in folder.rglob("*") if path.is_file()]


def test_cache_entry_comes_back_in_another_process(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path / "cache", 10_000)
    assert cache.get("a") is None
    for key, content in [("a", b"1"), ("../../a", b"2"), ("", b""), ("ä/\x00" * 100, b"\x00" * 99)]:
        cache.put(key, content)
        assert cache.get(key) == content
        assert BlobCache(tmp_path / "cache", 10_000).get(key) == content
    cache.put("a", b"new")
    assert cache.get("a") == b"new"
    assert os.listdir(tmp_path) == ["cache"]


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 50])
def test_cache_damaged_entry_is_a_miss_and_removed(tmp_path: Path, damage: bytes) -> None:
    cache = BlobCache(tmp_path, 10_000)
    cache.put("a", b"right" * 10)
    (path,) = entries(tmp_path)
    path.write_bytes(damage)
    assert cache.get("a") is None
    assert entries(tmp_path) == []


def test_cache_flipped_bit_is_a_miss(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, 10_000)
    cache.put("a", b"right" * 10)
    (path,) = entries(tmp_path)
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(content)
    assert cache.get("a") is None


def test_cache_evicts_least_recently_used_first(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, 8 * 132)
    for number in range(8):
        cache.put(str(number), bytes([number]) * 100)
        time.sleep(0.005)
    assert cache.get("0") is not None
    time.sleep(0.005)
    for number in range(8, 10):
        cache.put(str(number), bytes([number]) * 100)
        time.sleep(0.005)
    kept = {number for number in range(10) if cache.get(str(number)) is not None}
    assert {0, 8, 9} <= kept
    assert 1 not in kept
    assert sum(path.stat().st_size for path in entries(tmp_path)) <= 9 * 132


def test_cache_counts_entries_of_earlier_processes(tmp_path: Path) -> None:
    BlobCache(tmp_path, 1_000_000).put("old", bytes(5000))
    BlobCache(tmp_path, 1000).put("new", bytes(100))
    assert BlobCache(tmp_path, 1000).get("old") is None
    assert BlobCache(tmp_path, 1000).get("new") == bytes(100)


def test_cache_skips_large_entries_and_when_switched_off(tmp_path: Path) -> None:
    BlobCache(tmp_path / "off", 0).put("a", b"")
    BlobCache(tmp_path / "small", 100).put("a", bytes(100))
    assert entries(tmp_path) == []


def test_cache_removes_old_files_of_killed_processes(tmp_path: Path) -> None:
    (tmp_path / "ab").mkdir()
    for name, age in (("old", 7200), ("young", 10)):
        path = tmp_path / "ab" / f".x.{name}.part"
        path.write_bytes(b"x")
        os.utime(path, (time.time() - age,) * 2)
    BlobCache(tmp_path, 1000).put("a", b"x")
    assert sorted(path.name for path in (tmp_path / "ab").glob(".*")) == [".x.young.part"]


def test_cache_on_full_disk_logs_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    cache = BlobCache(tmp_path, 1000)
    monkeypatch.setattr(blob_cache, "replacing", full)
    with caplog.at_level(logging.WARNING):
        cache.put("a", b"x")
        cache.put("b", b"x")
    assert cache.get("a") is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "No space left" in caplog.text


def test_cache_without_folder_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = BlobCache(tmp_path / "file" / "cache", 1000)
    cache.put("a", b"x")
    assert cache.get("a") is None


@pytest.mark.slow
def test_cache_is_shared_by_processes_and_threads(tmp_path: Path) -> None:
    def run(_number: int) -> int:
        return subprocess.run([sys.executable, "-W", "error", "-c", WRITE_MUCH, tmp_path], timeout=60).returncode

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(run, range(3))) == [0, 0, 0]
    # Each of the three may exceed the size by an eighth.
    assert sum(path.stat().st_size for path in entries(tmp_path)) <= 20_000 * (1 + 3 / 8)
    assert not list(tmp_path.rglob("*.part"))


def test_cache_entry_larger_than_all_evicts_nothing(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path, 1000)
    cache.put("small", b"x" * 100)
    cache.put("large", b"y" * 1001)
    assert (cache.get("small"), cache.get("large")) == (b"x" * 100, None)
