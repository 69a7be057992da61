"""Which values count as positive numbers, counts and chosen samples."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from xda.surrogate.arguments import count, positive, sample, samples


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), np.int64(2), Fraction(1, 2)])
def test_positive_number_of_any_real_type_is_a_float(value: Any) -> None:
    found = positive("C", value)
    assert (type(found), found) == (float, float(value))


@pytest.mark.parametrize("value", [0, -1.0, np.inf, np.nan, True, np.True_, "1", None, 1j])
def test_other_than_positive_is_refused_by_name(value: Any) -> None:
    with pytest.raises(ValueError, match="C must be positive and finite"):
        positive("C", value)


@pytest.mark.parametrize("value", [1, np.int32(1)])
def test_whole_number_from_one_is_a_count(value: Any) -> None:
    assert (type(count("n", value)), count("n", value)) == (int, 1)


@pytest.mark.parametrize("value", [0, -3, 1.0, True, np.True_, "2", None])
def test_other_than_whole_number_from_one_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="n must be a whole number, 1 or more"):
        count("n", value)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ([3, 1, 3], [1, 3]),
        (np.array([2, 0]), [0, 2]),
        ({1}, [1]),
        (iter([1, 0]), [0, 1]),
        ([], []),
        ([False, True, False, True], [1, 3]),
        (np.array([True, False, False, False]), [0]),
    ],
)
def test_samples_by_number_or_mask_are_ascending_and_once(chosen: Any, expected: list[int]) -> None:
    found = samples("remove", chosen, 4)
    assert found.dtype == np.int64
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ([4], "no sample 4 among 4"),
        ([-1], "no sample -1 among 4"),
        ([1.0], "whole numbers"),
        ([True, 1], "whole numbers"),
        ([True, False], "a mask of 2 samples; the surrogate was fitted to 4"),
        (np.zeros((2, 2), dtype=int), r"not an array of shape \(2, 2\)"),
        ("12", "a list of sample numbers or a mask"),
        ({1: 2}, "a list of sample numbers or a mask"),
        (3, "a list of sample numbers or a mask"),
    ],
)
def test_other_samples_are_refused(chosen: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        samples("remove", chosen, 4)


def test_sample_of_any_integer_type_is_an_int() -> None:
    assert (type(sample("relabel", np.uint8(3), 4)), sample("relabel", np.uint8(3), 4)) == (int, 3)
