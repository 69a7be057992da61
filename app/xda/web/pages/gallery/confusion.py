"""The confusion matrix as a filter: every non-empty cell links to its test images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xda.numerals import count
from xda.web.pages.chrome import Address, Choice
from xda.web.view import Listing

MOST_MATRIX_CLASSES = 24
"""With more classes a list of the commonest confusions replaces the matrix."""
MOST_CONFUSIONS = 24
SHADES = 8
"""Steps of the shading."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the confusion matrix."""

    url: str | None
    n: str
    shade: int
    """0 (none) … ``SHADES``."""
    diagonal: bool
    current: bool
    words: str


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """All test images of one label."""

    label: Choice
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """The confusion matrix as filter."""

    columns: tuple[Choice, ...]
    rows: tuple[MatrixRow, ...]


def matrix(confusion: Sequence[Sequence[int]], names: Sequence[str], listing: Listing, address: Address) -> Matrix:
    """Return the whole matrix.

    Parameters
    ----------
    confusion : sequence of shape (K, K)
        Row: label, column: prediction.
    names : sequence of str
    listing : Listing
    address : Address
        Gives the gallery's address with another filter.
    """
    chosen = listing.choice
    errors = max((n for i, row in enumerate(confusion) for j, n in enumerate(row) if i != j), default=0)

    def cell(i: int, j: int, n: int, whole: int) -> Cell:
        current = chosen.label == i and chosen.predicted == j
        what = f"label {names[i]}, network says {names[j]}: {count(n)} of {count(whole)}"
        return Cell(
            url=address(label=None, predicted=None) if current else address(label=i, predicted=j) if n else None,
            n=str(n),
            shade=_shade(n, whole if i == j else errors),
            diagonal=i == j,
            current=current,
            words=f"{what} (shown, click to show all)" if current else what,
        )

    def header(k: int, name: str, other: str, n: int) -> Choice:
        # The header counts a whole row or column, so its link drops the filter of the other dimension.
        current = getattr(chosen, name) == k and getattr(chosen, other) is None
        return Choice(names[k], address(**{name: None if current else k, other: None}), current, count(n))

    return Matrix(
        columns=tuple(header(j, "predicted", "label", sum(row[j] for row in confusion)) for j in range(len(names))),
        rows=tuple(
            MatrixRow(
                label=header(i, "label", "predicted", sum(row)),
                cells=tuple(cell(i, j, n, sum(row)) for j, n in enumerate(row)),
            )
            for i, row in enumerate(confusion)
        ),
    )


def confusions(
    confusion: Sequence[Sequence[int]], names: Sequence[str], listing: Listing, address: Address
) -> tuple[Choice, ...]:
    """Return the commonest confusions, for too many classes for a matrix; parameters as for `matrix`."""
    chosen = listing.choice
    pairs = sorted(
        ((n, i, j) for i, row in enumerate(confusion) for j, n in enumerate(row) if n and i != j),
        key=lambda pair: (-pair[0], pair[1:]),
    )
    return tuple(
        Choice(
            f"{names[i]} taken for {names[j]}",
            address(label=i, predicted=j),
            chosen.label == i and chosen.predicted == j,
            count(n),
        )
        for n, i, j in pairs[:MOST_CONFUSIONS]
    )


def _shade(n: int, whole: int) -> int:
    """Return the shade of a share, by its square root, so that a few errors among many hits stay visible."""
    return 0 if n == 0 else max(1, math.ceil(SHADES * math.sqrt(n / whole)))
