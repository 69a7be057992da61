"""Numbers for people: three significant digits, a real minus sign, sums that add up as they are printed."""

from __future__ import annotations

import math

import pytest

from xda.services import numbers


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
def test_number(value: float, text: str) -> None:
    assert numbers.number(value) == text


def test_signed_shows_a_plus_but_not_for_zero() -> None:
    assert numbers.signed(0.64) == "+0.640"
    assert numbers.signed(-0.64) == "−0.640"
    assert numbers.signed(0.0) == "0"


@pytest.mark.parametrize("parts", [(5.2134, -2.9512), (14203.0512, -14199.9934), (0.0123, -0.0122999), (3.0, -3.0)])
def test_terms_add_up_as_printed(parts: tuple[float, float]) -> None:
    total = sum(parts)
    printed = [
        float(numbers.term(part, total).replace(numbers.MINUS, "-").replace(",", "").replace("+", "")) for part in parts
    ]
    assert sum(printed) == pytest.approx(total, abs=2e-2 * abs(total) + 1e-9)


def test_term_prints_a_dozen_digits_at_most() -> None:
    assert numbers.term(123456789.0, 1e-9) == "+123,456,789.000"
    assert numbers.term(0.0, 1.0) == "0"
    assert numbers.term(2.0, 0.0) == "+2.000"


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
    assert numbers.percent(share, digits).replace("\N{NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(("c", "text"), [(1e-5, "1e-5"), (1e-3, "1e-3"), (0.1, "1e-1"), (1.0, "1"), (0.5, "0.5")])
def test_parameter_is_written_as_people_type_it(c: float, text: str) -> None:
    assert numbers.parameter(c) == text
    assert float(text) == pytest.approx(c)


def test_count() -> None:
    assert numbers.count(58688) == "58,688"
