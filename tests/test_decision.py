"""A decision and its contrast; classes by number or by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xda.decision import Decision, class_number, contrast
from xda.errors import InvalidRequestError, NotFoundError, XdaError

NAMES = ("cat", "Schiff groß", "2", "dog", "cat", "1")


@pytest.mark.parametrize("values", [(1.5, -2.0, 4.0), np.array([1.5, -2.0, 4.0]), np.arange(6.0).reshape(3, 2)])
def test_contrast_subtracts_the_other_class(values: Any) -> None:
    for against in (None, 0):
        expected = values[2] - (0.0 if against is None else values[0])
        np.testing.assert_array_equal(contrast(values, 2, against), expected)
        np.testing.assert_array_equal(Decision(7, 1e-3, 2, against).contrast(values), expected)


@pytest.mark.parametrize(
    ("given", "number"),
    [(3, 3), (np.int64(3), 3), ("dog", 3), ("Schiff groß", 1), ("2", 2), ("1", 5), ("0", 0), ("-1", -1), ("99", 99)],
)
def test_class_name_goes_before_number(given: int | str, number: int) -> None:
    assert class_number(given, NAMES) == number


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("cat", InvalidRequestError, "2 classes are called 'cat'; give a number, 0 and 4"),
        ("Dog", NotFoundError, "No class is called 'Dog'; did you mean 'dog'?"),
        ("schiff gross", NotFoundError, "did you mean 'Schiff groß'"),
        ("zebra", NotFoundError, "there are cat, Schiff groß, 2, dog, cat, 1."),
        ("", NotFoundError, "there are"),
        (1.7, InvalidRequestError, "class is 1.7; give its number or its name"),
        (True, InvalidRequestError, "class is True; give"),
        (None, InvalidRequestError, "class is None; give"),
    ],
)
def test_class_unknown_is_refused_with_existing_ones(given: str, error: type[XdaError], words: str) -> None:
    with pytest.raises(error, match=words):
        class_number(given, NAMES)
