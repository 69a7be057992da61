"""How many threads the linear algebra may use: one for the many small products, all for the few large ones.

A product of a few hundred rows takes less time than waking a second thread, and where the cores are shared with other
work, waiting for that thread to be given a core has been seen to cost a hundred times the product.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]


class Threads:
    """Switch for the threads of the BLAS library, found once per fit."""

    def __init__(self) -> None:
        self._controller = ThreadpoolController().select(user_api="blas")
        counts = [library.num_threads for library in self._controller.lib_controllers]
        self._all = max(counts, default=1)

    def one(self) -> AbstractContextManager[object]:
        """Return a context in which the linear algebra runs on one thread.

        Returns
        -------
        context manager
        """
        return self._controller.limit(limits=1)  # type: ignore[no-any-return]

    def all(self) -> AbstractContextManager[object]:
        """Return a context with as many threads as there were when the switch was made.

        Returns
        -------
        context manager
        """
        return self._controller.limit(limits=self._all)  # type: ignore[no-any-return]
