"""Geometry of the charts: bars on one axis, the curve from zero to the logit."""

from __future__ import annotations

import pytest

from xda.web.pages.charts import CURVE_HEIGHT, WIDTH, bars, curve


def test_bars_share_zero_and_scale() -> None:
    left, right, none = bars([-1.0, 3.0, 0.0])
    assert {left.zero, right.zero, none.zero} == {"250.0"}
    assert (left.x, left.width) == ("0.0", "250.0")
    assert (right.x, right.width) == ("250.0", "750.0")
    assert none.width == "0.0"


def test_bars_without_values_do_not_divide_by_zero() -> None:
    assert bars([0.0, 0.0])[0].width == "0.0"
    assert bars([]) == ()


def test_curve_runs_from_zero_to_the_logit() -> None:
    drawn = curve([(1, 3.0), (2, 1.0), (3, 1.5)], mark=2)
    assert drawn is not None
    points = [tuple(map(float, pair.split(","))) for pair in drawn.points.split()]
    assert points[0] == (0.0, float(drawn.zero))
    assert points[-1] == (WIDTH, float(drawn.total))
    assert float(drawn.total) == pytest.approx((3.0 - 1.5) / 3.0 * CURVE_HEIGHT)
    assert drawn.x_ticks[-1].label == "3"
    assert drawn.marker is not None


def test_curve_of_few_contributions_is_short_or_none() -> None:
    assert curve([], mark=12) is None
    little = curve([(1, -2.0)], mark=12)
    assert little is not None
    assert little.marker is None
    assert [tick.label for tick in little.y_ticks] == ["0", "−2.00"]
