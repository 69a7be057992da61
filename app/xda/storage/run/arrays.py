"""Reads and writes the ``.npy`` files of a run: plain numbers only, sizes checked, never a pickle."""

from __future__ import annotations

import ast
import math
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

_KINDS = "biuf"
_CHUNK = 1 << 20
_MAGIC = b"\x93NUMPY\x01\x00"


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
        Position of the first value, in bytes.

    Raises
    ------
    ValueError
        Not a ``.npy`` file, not plain numbers in C order, or the file's size is not that of the array.
    """
    # Accept only the form that this module writes; NumPy's reader also takes headers of Python 2, with a tokenizer.
    prefix = stream.read(len(_MAGIC) + 2)
    header = stream.read(int.from_bytes(prefix[len(_MAGIC) :], "little"))
    if not prefix.startswith(_MAGIC):
        raise ValueError("it does not begin as a .npy file of version 1")
    try:
        fields = ast.literal_eval(header.decode("ascii"))
        dtype, shape, fortran_order = np.dtype(fields["descr"]), fields["shape"], fields["fortran_order"]
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise ValueError(f"its header is damaged: {error}") from error
    if _plain(dtype) != dtype or fortran_order is not False:
        raise ValueError(f"type {dtype.str} is not little-endian in C order")
    if type(shape) is not tuple or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"its shape {shape!r} is not valid")
    offset = stream.tell()
    # Use Python's integers, so that a forged shape cannot overflow into a plausible size.
    expected = offset + math.prod(shape) * dtype.itemsize
    size = os.fstat(stream.fileno()).st_size
    if size != expected:
        raise ValueError(f"it has {size} bytes, but type {dtype.str} and shape {list(shape)} need {expected}")
    return dtype, shape, offset


def write_array(path: Path, array: NDArray[np.generic]) -> None:
    """Write a ``.npy`` file with little-endian plain numbers in C order.

    Raises
    ------
    ValueError
        The array holds other values than booleans, integers or floating-point numbers.
    """
    plain = np.ascontiguousarray(array, dtype=_plain(array.dtype)).reshape(array.shape)
    # NumPy's own writer is not used, since its error does not say that the disk is full.
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(plain))
        stream.write(plain.reshape(-1).view(np.uint8).data)


def create_array(path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> None:
    """Create a ``.npy`` file of zeros and reserve its disk space, so that a long computation cannot run out of it.

    Raises
    ------
    OSError
        There is not enough space; no file is left behind.
    ValueError
        The type is not a plain number.
    """
    kind = _plain(np.dtype(dtype))
    try:
        with path.open("wb") as stream:
            header = {"descr": kind.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            stream.flush()
            _reserve(stream, stream.tell(), math.prod(shape) * kind.itemsize)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _reserve(stream: BinaryIO, offset: int, size: int) -> None:
    """Extend a file with zeros from an offset, without writing them if the system can."""
    reserve = getattr(os, "posix_fallocate", None)
    if reserve is not None and size:
        reserve(stream.fileno(), offset, size)
        return
    while size > 0:
        size -= stream.write(bytes(min(size, _CHUNK)))
