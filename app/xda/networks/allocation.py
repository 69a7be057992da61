"""A limit on what the making of a network may allocate: a run may ask for layers of any size."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from xda.errors import DataError

_MAKERS = frozenset({torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.eye})
"""What layers are made of; other functions compute from tensors that are there already."""


class AllocationLimit(TorchFunctionMode):
    """Within the block, tensors that are made from nothing may have so many bytes in all.

    Their size is asked of torch's ``meta`` device first, which holds shapes and no numbers.

    Parameters
    ----------
    n_bytes : int

    Raises
    ------
    DataError
        By the function that would go beyond.
    """

    def __init__(self, n_bytes: int) -> None:
        super().__init__()
        self._left = n_bytes
        self._limit = n_bytes

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Count what a function is about to make."""
        given = dict(kwargs or {})
        if func in _MAKERS and "out" not in given:
            planned = func(*args, **given | {"device": "meta"})
            self._left -= planned.numel() * planned.element_size()
            if self._left < 0:
                raise DataError(
                    f"Its layers would take more than {self._limit / 1e6:,.0f} MB, far more than the weights that the "
                    "run has for it."
                )
        return func(*args, **given)
