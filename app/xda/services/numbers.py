"""Numbers as a person reads them, the same in every language setting: three significant digits, a real minus sign.

The exact values are in the exports; everything here is for reading.
"""

from __future__ import annotations

import math

MINUS = "\N{MINUS SIGN}"


def number(value: float, digits: int = 3) -> str:
    """Return a value with so many significant digits: ``−0.382``, ``12,300``, ``1.20e−5``.

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
    """Return a value with its sign, also a plus: ``+0.640``, ``−2.95``, ``0``."""
    text = number(value, digits)
    return f"+{text}" if value > 0 else text


def term(value: float, total: float, digits: int = 3) -> str:
    """Return a signed term of a sum to the decimal places in which the total has so many significant digits.

    A sum of large terms that nearly cancel then still adds up as it is printed: ``+14,203.05``, ``−14,199.99``, total
    ``3.06``. A dozen digits are the most that is printed.
    """
    if value == 0 or not (math.isfinite(value) and math.isfinite(total)):
        return signed(value, digits)
    places = digits - 1 - math.floor(math.log10(abs(total))) if total else digits
    most = 12 - 1 - math.floor(math.log10(abs(value)))
    return f"{value:+,.{max(0, min(places, most))}f}".replace("-", MINUS)


def count(value: int) -> str:
    """Return a whole number with commas between thousands: ``58,688``."""
    return f"{value:,}".replace("-", MINUS)


def percent(share: float, digits: int = 0) -> str:
    """Return a share of one in percent, never rounded up to all or down to nothing: ``61 %``, ``> 99 %``, ``< 1 %``."""
    step = 10.0**-digits
    value = round(share * 100, digits)
    if share < 1 and value >= 100:
        return f"> {100 - step:.{digits}f}\N{NO-BREAK SPACE}%"
    if share > 0 and value <= 0:
        return f"< {step:.{digits}f}\N{NO-BREAK SPACE}%"
    return f"{value:.{digits}f}\N{NO-BREAK SPACE}%"


def parameter(c: float) -> str:
    """Return a regularisation parameter as people write it: ``1e-3``, ``0.5``, ``10``."""
    exponent = math.log10(c) if c > 0 else 0.0
    if c > 0 and abs(exponent - round(exponent)) < 1e-9 and exponent < 0:
        return f"1e{round(exponent)}"
    return f"{c:g}"
