"""Reading features a block at a time, so that memory stays bounded however many samples there are.

In goes a feature array in any float type, in memory or memory-mapped; out come C-contiguous blocks in the type asked
for. With ``augment`` a constant 1 stands behind every feature row (the intercept as a regularised weight), without the
array ever being copied as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from xda.surrogate.threads import Threads

BLOCK_VALUES = 1 << 18
"""Values in one block: 2 MiB in float64, what a core's cache holds."""


def width(features: NDArray[Any], augment: bool) -> int:
    """Return the number of columns a block has.

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

    Yields
    ------
    slice
    """
    step = max(1, BLOCK_VALUES // max(1, n_columns))
    for start in range(0, n_rows, step):
        yield slice(start, min(n_rows, start + step))


def over(threads: Threads | None, function: Callable[[slice], None], parts: Iterable[slice]) -> None:
    """Call a function for each part, on all threads if there are any.

    Parameters
    ----------
    threads : Threads, optional
    function : callable
        Writes what it finds to a place of its own.
    parts : iterable of slice
    """
    shares = [list(parts)] if threads is None else threads.shares(parts)

    def each(share: list[slice]) -> None:
        for part in share:
            function(part)

    if threads is None:
        each(shares[0])
    else:
        threads.map(each, shares)


def read(
    features: NDArray[Any], rows: slice | NDArray[np.int64], dtype: DTypeLike = np.float64, augment: bool = False
) -> NDArray[Any]:
    """Return the chosen rows as a C-contiguous array; a view where nothing has to change.

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
        If a row has a NaN or an infinite value, or if its squared norm overflows; the message names the first.
    """
    norms = np.empty(features.shape[0])

    def square(span: slice) -> None:
        block = read(features, span, dtype, augment)
        with np.errstate(over="ignore", invalid="ignore"):
            norms[span] = np.einsum("ij,ij->i", block, block)

    over(threads, square, spans(features.shape[0], width(features, augment)))
    wrong = np.flatnonzero(~np.isfinite(norms))
    for row in wrong:
        if not np.isfinite(np.asarray(features)[row]).all():
            raise ValueError(f"sample {row} has a feature that is NaN or infinite")
    if len(wrong):
        raise ValueError(f"the features of sample {wrong[0]} are too large: their squared norm overflows")
    return norms
