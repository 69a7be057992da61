"""Numbers for people, the same in every locale: three significant digits, a real minus sign.

The exports hold the exact values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

MINUS = "\N{MINUS SIGN}"


def number(value: float, digits: int = 3) -> str:
    """Format a value with a number of significant digits: ``−0.382``, ``12,300``, ``1.20e−5``.

    Parameters
    ----------
    value : float
    digits : int

    Returns
    -------
    str
    """
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    exponent = math.floor(math.log10(abs(rounded)))
    if -4 <= exponent < 7:
        text = f"{rounded:,.{max(0, digits - 1 - exponent)}f}"
    else:
        mantissa, power = f"{rounded:.{digits - 1}e}".split("e")
        text = f"{mantissa}e{int(power)}"
    return text.replace("-", MINUS)


def signed(value: float, digits: int = 3) -> str:
    """Format a value with its sign, also a plus: ``+0.640``, ``−2.95``, ``0``."""
    text = number(value, digits)
    return f"+{text}" if value > 0 else text


def addends(parts: Sequence[float], total: float, digits: int = 3) -> tuple[tuple[str, ...], str]:
    """Format the terms of a sum and the sum so that the printed numbers add up exactly.

    This holds for large terms that nearly cancel too: ``+14,203.05``, ``−14,199.99``, total ``3.06``.

    All are rounded to the decimal places that give the total ``digits`` significant digits (but at most a dozen digits
    are printed); the largest term absorbs the rounding error.

    Parameters
    ----------
    parts : sequence of float
        Terms, at least one.
    total : float
        Their sum.
    digits : int

    Returns
    -------
    terms : tuple of str
        Signed.
    total : str
    """
    largest = max(range(len(parts)), key=lambda k: abs(parts[k]))
    if not all(map(math.isfinite, (*parts, total))) or parts[largest] == 0:
        return tuple(signed(part, digits) for part in parts), number(total, digits)
    most = 11 - math.floor(math.log10(abs(parts[largest])))
    places = max(0, min(digits - 1 - math.floor(math.log10(abs(total))) if total else digits, most))
    step = 10**places
    units = [round(part * step) for part in parts]
    whole = round(total * step)
    units[largest] += whole - sum(units)

    def shown(unit: int, sign: str) -> str:
        return f"{unit / step:{sign},.{places}f}".replace("-", MINUS) if unit else "0"

    return tuple(shown(unit, "+") for unit in units), shown(whole, "")


def terms(parts: Sequence[float], total: float, digits: int = 3) -> tuple[tuple[str, ...], str]:
    """Format the terms of a sum and the sum, each term with its own significant digits.

    Works like ``addends``, but a term that is small beside the total keeps ``digits`` digits of its own: ``−0.00120``
    beside ``+43.7`` rather than ``0``.

    Parameters
    ----------
    parts : sequence of float
        Terms, at least one.
    total : float
        Their sum.
    digits : int

    Returns
    -------
    terms : tuple of str
        Signed.
    total : str
    """
    shown, whole = addends(parts, total, digits)
    kept = (text if abs(part) >= abs(total) else signed(part, digits) for text, part in zip(shown, parts, strict=True))
    return tuple(kept), whole


def count(value: int) -> str:
    """Format a whole number with commas between thousands: ``58,688``."""
    return f"{value:,}".replace("-", MINUS)


def percent(share: float, digits: int = 0) -> str:
    """Format a share in percent; never round it up to all or down to nothing: ``61 %``, ``> 99 %``, ``< 1 %``."""
    step = 10.0**-digits
    value = round(share * 100, digits)
    if share < 1 and value >= 100:
        return f"> {100 - step:.{digits}f}\N{NO-BREAK SPACE}%"
    if share > 0 and value <= 0:
        return f"< {step:.{digits}f}\N{NO-BREAK SPACE}%"
    return f"{value:.{digits}f}\N{NO-BREAK SPACE}%"


def parameter(c: float) -> str:
    """Format a regularisation parameter as people write it: ``1e-3``, ``0.5``, ``10``."""
    exponent = math.log10(c) if c > 0 else 0.0
    if c > 0 and abs(exponent - round(exponent)) < 1e-9 and exponent < 0:
        return f"1e{round(exponent)}"
    return f"{c:g}"
