"""Numbers for people: three significant digits, a real minus sign, sums that add up as they are printed."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest

from xda import numerals


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (0.64, "0.640"),
        (-2.95, "−2.95"),
        (9.999, "10.0"),
        (143.2, "143"),
        (58688.0, "58,700"),
        (0.00012345, "0.000123"),
        (-1.234e-5, "−1.23e−5"),
        (2.5e9, "2.50e9"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (math.nan, "not a number"),
    ],
)
def test_number_keeps_significant_digits(value: float, text: str) -> None:
    assert numerals.number(value) == text


def test_signed_shows_plus_but_not_for_zero() -> None:
    assert numerals.signed(0.64) == "+0.640"
    assert numerals.signed(-0.64) == "−0.640"
    assert numerals.signed(0.0) == "0"


@pytest.mark.parametrize(
    ("parts", "printed"),
    [
        ((5.2134, -2.9512), (("+5.21", "−2.95"), "2.26")),
        ((14203.0512, -14199.9934), (("+14,203.05", "−14,199.99"), "3.06")),
        ((96.7149, -93.0292), (("+96.72", "−93.03"), "3.69")),  # each rounded by itself would give 96.71
        ((3.0, -3.0), (("+3.000", "−3.000"), "0")),
        ((0.0, -0.382), (("0", "−0.382"), "−0.382")),
        ((123456789.0, -123456788.999999), (("+123,456,789.000", "−123,456,789.000"), "0")),
        ((0.0, 0.0), (("0", "0"), "0")),
    ],
)
def test_addends_add_up_exactly_as_printed(parts: tuple[float, float], printed: tuple[tuple[str, str], str]) -> None:
    assert numerals.addends(parts, sum(parts)) == printed


def test_random_sums_add_up_exactly_as_printed() -> None:
    rng = np.random.default_rng(0)

    def value(text: str) -> Decimal:
        return Decimal(text.replace(numerals.MINUS, "-").replace(",", "").replace("+", ""))

    for _ in range(500):
        parts = rng.normal(size=2) * 10.0 ** rng.integers(-3, 5)
        (first, second), total = numerals.addends(parts.tolist(), float(parts.sum()))
        assert value(first) + value(second) == value(total)


@pytest.mark.parametrize(
    ("parts", "printed"),
    [
        ((4670.6961, -4660.0001), (("+4,670.7", "−4,660.0"), "10.7")),
        ((4660.6961, -4660.0), (("+4,660.696", "−4,660.000"), "0.696")),
        ((43.7, -0.0012), (("+43.7", "−0.00120"), "43.7")),
        ((0.0, -0.382), (("0", "−0.382"), "−0.382")),
        ((5.2134, -2.9512), (("+5.21", "−2.95"), "2.26")),
    ],
)
def test_terms_agree_with_their_sum_to_three_digits_and_lose_none_of_their_own(
    parts: tuple[float, float], printed: tuple[tuple[str, str], str]
) -> None:
    assert numerals.terms(parts, sum(parts)) == printed


def test_random_terms_agree_with_their_sum_to_three_digits() -> None:
    rng = np.random.default_rng(1)
    for _ in range(500):
        parts = rng.normal(size=2) * 10.0 ** rng.integers(-3, 5, 2)
        if rng.random() < 0.5:
            parts[1] = -parts[0] * (1 + 10.0 ** -rng.integers(1, 6))
        shown, total = numerals.terms(parts.tolist(), float(parts.sum()))
        values = [float(text.replace(numerals.MINUS, "-").replace(",", "")) for text in (*shown, total)]
        assert values[0] + values[1] == pytest.approx(values[2], rel=0.011)
        assert all(abs(value / part - 1) < 0.016 for value, part in zip(values[:2], parts, strict=True))


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [
        (0.6149, 0, "61 %"),
        (0.9999, 0, "> 99 %"),
        (1e-6, 0, "< 1 %"),
        (1.0, 0, "100 %"),
        (0.0, 0, "0 %"),
        (0.9874, 1, "98.7 %"),
        (0.99999, 1, "> 99.9 %"),
    ],
)
def test_percent_never_rounds_to_all_or_nothing(share: float, digits: int, text: str) -> None:
    assert numerals.percent(share, digits).replace("\N{NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(("c", "text"), [(1e-5, "1e-5"), (1e-3, "1e-3"), (0.1, "1e-1"), (1.0, "1"), (0.5, "0.5")])
def test_parameter_is_formatted_as_typed(c: float, text: str) -> None:
    assert numerals.parameter(c) == text
    assert float(text) == pytest.approx(c)


def test_count_separates_thousands() -> None:
    assert numerals.count(58688) == "58,688"
