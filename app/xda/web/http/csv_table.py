"""CSV tables for spreadsheets: numbers are exact, and no text from a data set runs as a formula.

Spreadsheets treat a cell that begins with ``=``, ``+``, ``-`` or ``@`` as a formula, and names of classes and files may
begin so. An apostrophe before such text makes it plain text (OWASP, "CSV Injection"); text that is a plain number stays
unchanged. The JSON of the same page has every name unchanged.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)

Cell = str | int | float | bool | None


def cell(value: Cell) -> str | int | float:
    """Format a value as a cell: safe text, ``true`` or ``false``, empty for None."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case str() if value.startswith(_FORMULA) and not _NUMBER.fullmatch(value):
            return f"'{value}"
        case _:
            return value


def csv_table(columns: Sequence[str], rows: Iterable[Iterable[Cell]]) -> str:
    """Return a table as CSV (RFC 4180).

    Parameters
    ----------
    columns : sequence of str
        Names in the first line.
    rows : iterable of iterables
        Floats are written with all their digits.

    Returns
    -------
    str
        Lines end with CR LF.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(map(cell, row) for row in rows)
    return text.getvalue()
