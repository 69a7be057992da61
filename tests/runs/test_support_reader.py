"""The support set that is read from a run's arrays, and the arrays that contradict each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from xda.runs.support_reader import read_support
from xda.storage.run import layout

C = 1e-3
LABELS = np.array([0, 1, 2, 1])


def reader(**changed: Any) -> Callable[[str], NDArray[Any]]:
    arrays = {
        layout.DUAL_DATA: np.array([C, -C, 0.5 * C, -0.5 * C]),
        layout.DUAL_INDICES: np.array([0, 2, 1, 0], dtype=np.int32),
        layout.DUAL_INDPTR: np.array([0, 2, 4]),
        layout.SUPPORT: np.array([0, 3]),
    }
    by_name = {layout.surrogate(C, spec): np.asarray(changed.get(spec.name, array)) for spec, array in arrays.items()}
    return by_name.__getitem__


def test_support_set_has_the_arrays_of_the_run() -> None:
    support = read_support(reader(), C, LABELS, 3)
    np.testing.assert_array_equal(support.index, [0, 3])
    np.testing.assert_array_equal(support.label, [0, 1])
    np.testing.assert_array_equal(support.dual_coef.toarray(), [[C, 0, -C], [-0.5 * C, 0.5 * C, 0]])
    assert (support.c, support.n_train) == (C, 4)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"support": [-1, 3]}, "its support vectors are not 2 different ones of 4 training images"),
        ({"support": [0, 4]}, "not 2 different ones"),
        ({"support": [3, 0]}, "not 2 different ones"),
        ({"support": [3, 3]}, "not 2 different ones"),
        ({"dual_indices": np.array([0, 3, 1, 0], dtype=np.int32)}, "indices"),
        ({"dual_indptr": [0, 2, 5]}, "index pointer|last|size"),
    ],
)
def test_contradicting_arrays_are_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_support(reader(**changed), C, LABELS, 3)
