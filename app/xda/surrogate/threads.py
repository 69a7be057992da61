"""Threads for the linear algebra: the BLAS library uses one, and a pool of our own shares large products.

A product of a few hundred rows takes less time than waking a second thread. The threads of a BLAS library spin while
they wait for each other; on cores shared with other work, this has cost a hundred times the product. The threads of a
pool sleep until they are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import pairwise
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

LARGE = 1 << 25
"""Products with more multiply-adds are computed in parts."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Threads:
    """The threads of one fit; within the context the BLAS library uses one thread.

    Parameters
    ----------
    count : int, optional
        Number of threads. Default: that of the BLAS library, so that its environment variables apply here too.
    """

    def __init__(self, count: int | None = None) -> None:
        self._controller = ThreadpoolController().select(user_api="blas")
        of_library = max((library.num_threads for library in self._controller.lib_controllers), default=1)
        self.count = of_library if count is None else count
        self._limit: AbstractContextManager[object] | None = None
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        """Limit the linear algebra to one thread."""
        self._limit = self._controller.limit(limits=1)
        self._limit.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Restore the number of threads and end the pool."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        if self._limit is not None:
            self._limit.__exit__(kind, error, trace)

    def matmul(self, left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
        """Return the matrix product, a large one computed in parts.

        Parameters
        ----------
        left : ndarray of shape (m, k)
        right : ndarray of shape (k, n)

        Returns
        -------
        ndarray of shape (m, n)
        """
        (m, k), n = left.shape, right.shape[1]
        if self.count == 1 or m * k * n < LARGE:
            return np.asarray(left @ right)
        if m < k:
            cuts = self.cut(k)
            return np.asarray(sum(self.map(lambda cut: left[:, cut] @ right[cut], cuts)))
        result = np.empty((m, n), dtype=np.result_type(left, right))
        self.map(lambda cut: np.matmul(left[cut], right, out=result[cut]), self.cut(m))
        return result

    def cut(self, size: int) -> list[slice]:
        """Cut a range into one slice for each thread.

        Parameters
        ----------
        size : int

        Returns
        -------
        list of slice
        """
        edges = [size * part // self.count for part in range(self.count + 1)]
        return [slice(start, stop) for start, stop in pairwise(edges)]

    def shares(self, items: Iterable[Item]) -> list[list[Item]]:
        """Divide items into one list per thread, so that each thread can keep a sum of its own.

        Parameters
        ----------
        items : iterable

        Returns
        -------
        list of list
        """
        todo = list(items)
        count = self.count if len(todo) >= 2 * self.count else 1
        return [todo[start::count] for start in range(count)]

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Apply a function to independent items, on all threads.

        Parameters
        ----------
        function : callable
            Spends its time in numpy or compiled kernels, which let other threads run.
        items : iterable

        Returns
        -------
        list
            In the order of the items.
        """
        todo = list(items)
        if self.count == 1 or len(todo) < 2:
            return [function(item) for item in todo]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.count, thread_name_prefix="surrogate")
        return list(self._pool.map(function, todo))
