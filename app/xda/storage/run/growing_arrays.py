"""Arrays that are filled batch by batch and survive ``kill -9`` and a power cut up to the last mark.

Every batch is followed by a mark, unless batches come faster than the disk can confirm them: then marks take at most a
tenth of the time, and a kill costs the work since the last mark, some tenths of a second.

The arrays are written with ``pwrite``, not through a memory map: a full disk then raises an error instead of a signal,
and the resident memory does not grow with the file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from xda.storage.run.arrays import read_array_header

PATIENCE = 10.0
"""Time between two marks, in units of the time of a mark."""


class GrowingArrays:
    """Arrays with the same number of rows, filled from the first row; a context manager.

    Parameters
    ----------
    paths : mapping of str to Path
        Existing ``.npy`` files of their final size, by name of the array.
    done : int
        Number of rows already filled.
    mark : callable
        Called with the number of filled rows when they are on the disk; makes that number durable.
    guard : callable, optional
        Context around every access to the disk; it explains errors.
    """

    def __init__(
        self,
        paths: Mapping[str, Path],
        done: int,
        mark: Callable[[int], None],
        guard: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.done = self._marked = done
        self._next_mark = 0.0
        self._mark, self._guard = mark, guard
        self._held = ExitStack()
        self._arrays: dict[str, tuple[int, int, np.dtype[np.generic], tuple[int, ...]]] = {}
        for name, path in paths.items():
            stream = self._held.enter_context(path.open("r+b", buffering=0))
            dtype, shape, offset = read_array_header(stream)
            self._arrays[name] = (stream.fileno(), offset, dtype, shape)

    @property
    def total(self) -> int:
        """Rows of each array."""
        return min((shape[0] for _, _, _, shape in self._arrays.values()), default=0)

    def append(self, batch: Mapping[str, NDArray[np.generic]]) -> None:
        """Write the next rows of all arrays.

        Parameters
        ----------
        batch : mapping of str to ndarray
            The same number of rows for every array, from row ``done`` on, of its type.

        Raises
        ------
        ValueError
            Arrays are missing or unknown, of another type or shape, or there are more rows than places.
        OSError
            The rows cannot be written; ``guard`` may turn this into another error.
        """
        if batch.keys() != self._arrays.keys():
            raise ValueError(f"a batch has {sorted(batch)}, these arrays are {sorted(self._arrays)}")
        n_rows = len(next(iter(batch.values()), ()))
        for name, rows in batch.items():
            _, _, dtype, shape = self._arrays[name]
            if rows.dtype != dtype or rows.shape != (n_rows, *shape[1:]) or self.done + n_rows > shape[0]:
                raise ValueError(
                    f"{name}: rows of type {rows.dtype} and shape {rows.shape} do not fit behind row {self.done} of "
                    f"an array of type {dtype} and shape {shape}"
                )
        try:
            with self._guard():
                for name, rows in batch.items():
                    descriptor, offset, dtype, shape = self._arrays[name]
                    row_bytes = dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64))
                    _write_at(descriptor, np.ascontiguousarray(rows), offset + self.done * row_bytes)
                self.done += n_rows
                if self.done == self.total or time.monotonic() >= self._next_mark:
                    self._set_mark()
        except BaseException:
            # After a disk error the rows after the last mark are in doubt, so they count as lost.
            self.done = self._marked
            raise

    def _set_mark(self) -> None:
        """Wait until all rows are on the disk, then make their number durable."""
        if self.done == self._marked:
            return
        began = time.monotonic()
        for descriptor, *_ in self._arrays.values():
            os.fsync(descriptor)
        self._mark(self.done)
        self._marked = self.done
        ended = time.monotonic()
        self._next_mark = ended + PATIENCE * (ended - began)

    def __enter__(self) -> GrowingArrays:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the files; an interrupted build keeps its rows."""
        with self._held, suppress(OSError):
            self._set_mark()


def _write_at(descriptor: int, rows: NDArray[np.generic], offset: int) -> None:
    left = rows.reshape(-1).view(np.uint8).data
    while left:
        written = os.pwrite(descriptor, left, offset)
        left, offset = left[written:], offset + written
