"""The arguments that must be numbers: of any real type, and of a size that makes sense."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np


def positive(name: str, value: Any) -> float:
    """Return a positive finite number as a float, whatever type of real number it is.

    Parameters
    ----------
    name : str
        What it is called in the refusal.
    value : Any

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If it is anything else; a bool is no number here.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real) or not 0.0 < float(value) < np.inf:
        raise ValueError(f"{name} must be positive and finite, not {value!r}")
    return float(value)


def count(name: str, value: Any) -> int:
    """Return a whole number of at least 1 as an int, whatever type of integer it is.

    Parameters
    ----------
    name : str
        What it is called in the refusal.
    value : Any

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If it is anything else; a bool is no number here.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} must be a whole number, 1 or more, not {value!r}")
    return int(value)
