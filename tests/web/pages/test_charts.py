"""Geometry of the charts: bars on one axis, the sum closed without a gap, the curve from zero to the logit."""

from __future__ import annotations

import pytest

from xda.attribution.results import Contribution
from xda.web.pages.charts import CURVE_HEIGHT, WIDTH, bars, curve, waterfall


def part(index: int, attribution: float) -> Contribution:
    return Contribution(index=index, label=0, attribution=attribution, at_bound=False)


def test_bars_share_zero_and_scale() -> None:
    left, right, none = bars([-1.0, 3.0, 0.0])
    assert {left.zero, right.zero, none.zero} == {"250.0"}
    assert (left.x, left.width) == ("0.0", "250.0")
    assert (right.x, right.width) == ("250.0", "750.0")
    assert none.width == "0.0"


def test_bars_without_values_do_not_divide_by_zero() -> None:
    assert bars([0.0, 0.0])[0].width == "0.0"
    assert bars([]) == ()


@pytest.mark.parametrize(("supporting", "opposing"), [(5.0, -2.0), (2.0, -5.0), (3.0, -3.0), (4.0, 0.0), (0.0, -4.0)])
def test_waterfall_closes_without_a_gap(supporting: float, opposing: float) -> None:
    listed_for = [(part(1, supporting * 0.5), "/1"), (part(2, supporting * 0.2), "/2")] if supporting else []
    listed_against = [(part(3, opposing * 0.6), None)] if opposing else []
    drawn = waterfall(listed_for, listed_against, supporting, opposing, 3 if supporting else 0, 2 if opposing else 0)
    low, high = min(0.0, supporting + opposing), supporting
    span = high - low

    at = float(drawn.zero)
    for segment in drawn.supporting:
        assert float(segment.x) == pytest.approx(at, abs=0.11)
        at += float(segment.width)
    assert at == pytest.approx((supporting - low) / span * WIDTH, abs=0.3)
    for segment in drawn.opposing:
        at -= float(segment.width)
        assert float(segment.x) == pytest.approx(at, abs=0.4)
    assert at == pytest.approx(float(drawn.total), abs=0.4)
    assert float(drawn.total) == pytest.approx((supporting + opposing - low) / span * WIDTH, abs=0.1)
    assert 0 <= float(drawn.total) <= WIDTH
    if supporting:
        assert drawn.supporting[-1].url is None
        assert "1 more image that support" in drawn.supporting[-1].label


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
