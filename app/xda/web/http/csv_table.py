"""Tables as CSV that a spreadsheet can open: numbers are exact, and no text of a data set runs as a formula.

Spreadsheets take a cell that begins with ``=``, ``+``, ``-`` or ``@`` for a formula, whose text may come from whoever
named a class or a file. An apostrophe before it makes it text (OWASP, "CSV Injection"); text that is a plain number
stays as it is. The JSON of the same page has every name unchanged.
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
    """Return a value as it is written: text made safe, ``true`` and ``false``, nothing for None."""
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
