"""The .npy files of a run: written arrays are read back, all other files are refused."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from xda.storage.run.arrays import create_array, read_array_header, write_array

DTYPES = ["?", "u1", "i4", "i8", "f4", "f8"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (0, 5), (2, 1, 4)])
def test_array_comes_back(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    write_array(tmp_path / "a.npy", array)
    with (tmp_path / "a.npy").open("rb") as stream:
        found, found_shape, _ = read_array_header(stream)
    assert (found, found_shape) == (array.dtype, shape)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy", allow_pickle=False), array, strict=True)


def test_write_array_converts_to_little_endian_c_order(tmp_path: Path) -> None:
    array = np.asfortranarray(np.arange(6, dtype=">f8").reshape(2, 3))
    write_array(tmp_path / "a.npy", array)
    loaded = np.load(tmp_path / "a.npy")
    assert loaded.dtype.str == "<f8"
    assert loaded.flags.c_contiguous
    np.testing.assert_array_equal(loaded, array)


@pytest.mark.parametrize(
    "array", [np.array([{}]), np.array(["text"]), np.array([1j]), np.array(["2026-01-01"], "M8[D]")]
)
def test_write_array_not_plain_numbers_is_refused(tmp_path: Path, array: NDArray[np.generic]) -> None:
    with pytest.raises(ValueError, match="not plain numbers"):
        write_array(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match="not plain numbers"):
        create_array(tmp_path / "b.npy", (1,), array.dtype)


@pytest.mark.parametrize("reserves", [True, False], ids=["fallocate", "written"])
@pytest.mark.parametrize("shape", [(3, 2), (0, 2), (700_000,)])
def test_create_array_is_zeros(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], reserves: bool
) -> None:
    if not reserves:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    create_array(tmp_path / "a.npy", shape, np.float32)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.zeros(shape, np.float32), strict=True)


def test_create_array_on_full_disk_is_refused(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            create_array(tmp_path / "a.npy", (1 << 20,), np.float64)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "a.npy").exists()


def test_create_array_reserves_space(tmp_path: Path) -> None:
    create_array(tmp_path / "a.npy", (1 << 20,), np.float64)
    os.sync()
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= 8 << 20


def _header(text: str, version: bytes = b"\x01\x00") -> bytes:
    body = text.encode().ljust(118)
    return b"\x93NUMPY" + version + len(body).to_bytes(2 if version[0] == 1 else 4, "little") + body


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff\xff",
        b"PK\x03\x04 a zip file",
        _header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}") + b"\x80\x04.",
        _header("{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}") + bytes(8),
        _header("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}") + bytes(16),
        _header("{'descr': '>f8', 'fortran_order': False, 'shape': (1,)}") + bytes(8),
        _header("{'descr': '<f8', 'fortran_order': True, 'shape': (1, 1)}") + bytes(8),
        _header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}"),
        _header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({2**61},)}}"),
        _header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({2**40}, {2**40})}}"),
        _header("{'descr': '<f8', 'fortran_order': False}") + bytes(8),
        _header("__import__('os').getpid()"),
        _header("((((((("),
        _header("\x00"),
        _header("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", b"\x03\x00") + bytes(8),
    ],
    ids=range(17),
)
def test_read_header_damaged_or_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    with path.open("rb") as stream, pytest.raises(ValueError, match=r"."):
        read_array_header(stream)
