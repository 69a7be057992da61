"""Geometry of the charts, so that templates only place shapes (SVG attributes, no style, no script).

All lengths are in units of the chart's view box, which is ``WIDTH`` wide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xda.numerals import count, number

WIDTH = 1000.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar from zero, to the left for negative values."""

    x: str
    width: str
    zero: str


def bars(values: Sequence[float], others: Sequence[float] = ()) -> tuple[Bar, ...]:
    """Return bars on one axis that covers zero and all values, those of ``others`` too."""
    low = min((*values, *others, 0.0))
    high = max((*values, *others, 0.0))
    span = (high - low) or 1.0

    def place(value: float) -> float:
        return (value - low) / span * WIDTH

    zero = place(0.0)
    return tuple(
        Bar(x=_coordinate(min(zero, place(v))), width=_coordinate(abs(place(v) - zero)), zero=_coordinate(zero))
        for v in values
    )


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled position on an axis."""

    at: str
    label: str


@dataclass(frozen=True, slots=True)
class Curve:
    """The running sum over the rank, on a logarithmic axis."""

    points: str
    area: str
    zero: str
    total: str
    marker: str | None
    """Position after ``STRONGEST`` contributions."""
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


CURVE_HEIGHT = 360.0


def curve(running: Sequence[tuple[int, float]], mark: int) -> Curve | None:
    """Return the running sum, in steps if every rank is known; None without contributions."""
    if not running:
        return None
    n = running[-1][0]
    values = [0.0, *(total for _, total in running)]
    low, high = min(values), max(values)
    span = (high - low) or 1.0

    def x(rank: float) -> float:
        return math.log1p(rank) / math.log1p(n) * WIDTH

    def y(value: float) -> float:
        return (high - value) / span * CURVE_HEIGHT

    path, last = [(0.0, y(0.0))], 0
    for rank, total in running:
        if rank == last + 1:
            path.append((x(rank), path[-1][1]))
        path.append((x(rank), y(total)))
        last = rank
    steps = [power * lead for power in (1, 10, 100, 1000, 10_000, 100_000) for lead in (1, 3)]
    # Drop labels that would overlap that of n.
    ranks = [k for k in steps if x(k) < 0.86 * WIDTH] + [n]
    points = " ".join(f"{_coordinate(a)},{_coordinate(b)}" for a, b in path)
    return Curve(
        points=points,
        area=f"0,{_coordinate(y(0))} {points} {_coordinate(WIDTH)},{_coordinate(y(0))}",
        zero=_coordinate(y(0.0)),
        total=_coordinate(y(running[-1][1])),
        marker=_coordinate(x(mark)) if n > mark else None,
        x_ticks=tuple(Tick(_coordinate(x(k)), count(k)) for k in ranks),
        y_ticks=tuple(Tick(_coordinate(y(value)), number(value)) for value in dict.fromkeys((high, 0.0, low))),
    )


def _coordinate(value: float) -> str:
    return f"{value:.1f}"
