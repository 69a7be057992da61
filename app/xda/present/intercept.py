"""The part of a number that an augmented intercept adds; it belongs to no pixel, so pages print it apart.

With ``intercept="augment"`` a contribution is ``tau_i = alpha_i^c (<z_i, phi(x)> + 1)`` (method section 2). Heat-maps
carry the first summand; the second one, ``alpha_i^c``, is the intercept's.
"""

from __future__ import annotations

from dataclasses import dataclass

from xda.numerals import addends, signed

MOST_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Split:
    """A number and its two parts, which add up to it as they are printed."""

    total: str
    spread: str
    """The part that heat-maps spread over pixels."""
    intercept: str
    """Empty without an intercept."""


def split(total: float, intercept: float) -> Split:
    """Return a contribution or logit and its parts, with enough digits to show the intercept's part.

    Parameters
    ----------
    total : float
    intercept : float
        The intercept's part.

    Returns
    -------
    Split
    """
    if not intercept:
        return Split(signed(total), signed(total), "")
    for digits in range(3, MOST_DIGITS + 1):
        (spread, apart), whole = addends((total - intercept, intercept), total, digits)
        if apart != "0":
            break
    else:
        whole, spread, apart = signed(total), signed(total - intercept), signed(intercept)
    return Split(whole if whole.startswith("+") or total <= 0 else f"+{whole}", spread, apart)
