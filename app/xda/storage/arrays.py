"""The ``.npy`` files of a run: plain numbers only, header checked against the file's size, never a pickle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

_KINDS = "biuf"


def _plain(dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
    """Return the little-endian form of a boolean, integer or floating-point type; refuse every other."""
    if dtype.kind not in _KINDS:
        raise ValueError(f"values of type {dtype.str} are not plain numbers")
    return dtype.newbyteorder("<")


def read_array_header(stream: BinaryIO) -> tuple[np.dtype[np.generic], tuple[int, ...], int]:
    """Read the header of a ``.npy`` file from its beginning.

    Parameters
    ----------
    stream : binary file
        At position 0; afterwards at the first value.

    Returns
    -------
    dtype : numpy.dtype
    shape : tuple of int
    offset : int
        Where the values begin, in bytes.

    Raises
    ------
    ValueError
        Not a ``.npy`` file, not plain numbers in C order, or the file's size is not that of the array.
    """
    try:
        version = np.lib.format.read_magic(stream)
        reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
        if reader is None:
            raise ValueError(f"format version {version} is not one of (1, 0) and (2, 0)")
        shape, fortran_order, dtype = reader(stream)
    except (UnicodeDecodeError, SyntaxError, TypeError, OverflowError) as error:
        raise ValueError(f"damaged header: {error}") from error
    if _plain(dtype) != dtype or (fortran_order and len(shape) > 1):
        raise ValueError(f"type {dtype.str} is not little-endian in C order")
    offset = stream.tell()
    # Python integers: a forged shape must not overflow into a plausible size.
    expected = offset + dtype.itemsize
    if shape:
        count = 1
        for size in shape:
            count *= size
        expected = offset + dtype.itemsize * count
    size = os.fstat(stream.fileno()).st_size
    if min(shape, default=0) < 0 or size != expected:
        raise ValueError(f"{size} bytes, but type {dtype.str} and shape {list(shape)} need {expected}")
    return dtype, shape, offset


def write_array(path: Path, array: NDArray[np.generic]) -> None:
    """Write a ``.npy`` file with little-endian plain numbers in C order.

    Raises
    ------
    ValueError
        The array holds something else than booleans, integers or floating-point numbers.
    """
    plain = np.ascontiguousarray(array, dtype=_plain(array.dtype)).reshape(array.shape)
    with path.open("wb") as stream:
        np.lib.format.write_array(stream, plain, version=(1, 0), allow_pickle=False)


def create_array(
    path: Path, shape: tuple[int, ...], dtype: DTypeLike
) -> np.memmap[tuple[int, ...], np.dtype[np.generic]]:
    """Create a ``.npy`` file of zeros and map it for writing.

    All of the space is reserved at once: writing through a memory map when the disk has become full would kill the
    process.

    Raises
    ------
    OSError
        There is not enough space.
    ValueError
        The type is not a plain number.
    """
    kind = _plain(np.dtype(dtype))
    array: np.memmap[tuple[int, ...], np.dtype[np.generic]] = np.lib.format.open_memmap(
        path, mode="w+", dtype=kind, shape=shape, version=(1, 0)
    )
    with path.open("r+b") as stream:
        os.posix_fallocate(stream.fileno(), 0, os.fstat(stream.fileno()).st_size)
    return array
