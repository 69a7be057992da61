"""Reads features a block at a time, so that memory stays bounded for any number of samples.

In goes a feature array in any float type, in memory or memory-mapped; out come C-contiguous blocks in the requested
type. With ``augment`` a constant 1 stands behind every feature row (the intercept as a regularised weight), without the
array ever being copied as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from xda.surrogate.threads import Threads

BLOCK_VALUES = 1 << 18
"""Values in one block: 2 MiB in float64, which fit into a core's cache."""


def width(features: NDArray[Any], augment: bool) -> int:
    """Return the number of columns of a block.

    Parameters
    ----------
    features : ndarray of shape (N, d)
    augment : bool

    Returns
    -------
    int
        d, or d + 1 with the constant column.
    """
    return int(features.shape[1]) + int(augment)


def spans(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Cut ``n_rows`` rows into consecutive slices of at most :data:`BLOCK_VALUES` values.

    Parameters
    ----------
    n_rows, n_columns : int
        Without columns there is nothing to bound, and all rows are one slice.

    Yields
    ------
    slice
    """
    step = max(1, BLOCK_VALUES // n_columns if n_columns else n_rows)
    for start in range(0, n_rows, step):
        yield slice(start, min(n_rows, start + step))


def over(
    threads: Threads | None, function: Callable[[slice], None], n_rows: int, n_columns: int, *, in_place: bool = False
) -> None:
    """Call a function for each block of rows, on all threads if the work is worth waking them.

    Parameters
    ----------
    threads : Threads, optional
    function : callable
        Writes its results to a place of its own.
    n_rows, n_columns : int
    in_place : bool
        The function copies nothing; then each thread gets one block of any size.
    """

    def each(part: slice) -> None:
        for span in spans(part.stop - part.start, 0 if in_place else n_columns):
            function(slice(part.start + span.start, part.start + span.stop))

    if threads is None or n_rows * n_columns < 2 * BLOCK_VALUES:
        each(slice(0, n_rows))
    else:
        threads.map(each, threads.cut(n_rows))


def kernel_dtype(features: NDArray[Any]) -> type[np.float32 | np.float64]:
    """Return the type in which compiled kernels read features; it loses nothing, except from long doubles.

    Parameters
    ----------
    features : ndarray

    Returns
    -------
    type
    """
    return np.float32 if features.dtype.kind == "f" and features.dtype.itemsize <= 4 else np.float64


def in_place(features: NDArray[Any], dtype: DTypeLike, augment: bool) -> bool:
    """Tell whether kernels can read features without a copy; a memory-mapped file is copied block by block instead.

    Parameters
    ----------
    features : ndarray of shape (N, d)
    dtype : dtype
    augment : bool

    Returns
    -------
    bool
    """
    ready = features.dtype == dtype and features.flags.c_contiguous and not augment
    return bool(ready and not isinstance(features, np.memmap))


def read(
    features: NDArray[Any], rows: slice | NDArray[np.int64], dtype: DTypeLike = np.float64, augment: bool = False
) -> NDArray[Any]:
    """Return the chosen rows as a C-contiguous array, as a view if nothing has to change.

    Parameters
    ----------
    features : ndarray of shape (N, d)
        In memory or memory-mapped, any real type.
    rows : slice or ndarray of int
    dtype : dtype
    augment : bool
        Append a constant 1 to every row.

    Returns
    -------
    ndarray of shape (n, d) or (n, d + 1)
    """
    chosen = np.asarray(features)[rows]
    if not augment:
        return np.ascontiguousarray(chosen, dtype=dtype)
    block = np.empty((chosen.shape[0], chosen.shape[1] + 1), dtype=dtype)
    block[:, :-1] = chosen
    block[:, -1] = 1.0
    return block


def squared_norms(
    features: NDArray[Any], dtype: DTypeLike = np.float64, augment: bool = False, threads: Threads | None = None
) -> NDArray[np.float64]:
    """Return the squared norm of every row, and refuse rows that are not finite.

    Parameters
    ----------
    features : ndarray of shape (N, d)
    dtype : dtype
        Type to compute in.
    augment : bool
        A constant 1 belongs behind every row.
    threads : Threads, optional

    Returns
    -------
    ndarray of shape (N,)

    Raises
    ------
    ValueError
        A row has a NaN or an infinite value, or its squared norm overflows; the message names the first such row.
    """
    norms = np.empty(features.shape[0])

    def square(span: slice) -> None:
        block = read(features, span, dtype, augment)
        with np.errstate(over="ignore", invalid="ignore"):
            norms[span] = np.einsum("ij,ij->i", block, block)

    over(threads, square, *features.shape, in_place=in_place(features, dtype, augment))
    wrong = np.flatnonzero(~np.isfinite(norms))
    for row in wrong:
        if not np.isfinite(np.asarray(features)[row]).all():
            raise ValueError(f"sample {row} has a feature that is NaN or infinite")
    if len(wrong):
        raise ValueError(f"the features of sample {wrong[0]} are too large: their squared norm overflows")
    return norms
