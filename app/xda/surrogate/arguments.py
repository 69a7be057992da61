"""Validation of arguments: positive numbers and counts of any real type, samples by number or mask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from xda.surrogate.objective import Int


def positive(name: str, value: Any) -> float:
    """Return a positive finite number of any real type as a float.

    Parameters
    ----------
    name : str
        Its name in the message.
    value : Any

    Returns
    -------
    float

    Raises
    ------
    ValueError
        The value is anything else; a bool does not count as a number.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real) or not 0.0 < float(value) < np.inf:
        raise ValueError(f"{name} must be positive and finite, not {value!r}")
    return float(value)


def count(name: str, value: Any) -> int:
    """Return a whole number of at least 1, of any integer type, as an int.

    Parameters
    ----------
    name : str
        Its name in the message.
    value : Any

    Returns
    -------
    int

    Raises
    ------
    ValueError
        The value is anything else; a bool does not count as a number.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} must be a whole number, 1 or more, not {value!r}")
    return int(value)


def samples(name: str, chosen: Any, n_samples: int) -> Int:
    """Return the numbers of the chosen samples, ascending and without repetition.

    Parameters
    ----------
    name : str
        The argument's name in the message.
    chosen : iterable of int, or mask of bool of shape (N,)
    n_samples : int
        N.

    Returns
    -------
    ndarray of int

    Raises
    ------
    ValueError
        The argument is neither a list nor a mask, or a sample does not exist.
    """
    if hasattr(chosen, "__array__"):
        chosen = np.asarray(chosen)
        if chosen.ndim != 1:
            raise ValueError(f"{name} must be a list of sample numbers or a mask, not an array of shape {chosen.shape}")
    elif isinstance(chosen, (str, bytes, Mapping)) or not isinstance(chosen, Iterable):
        raise ValueError(f"{name} must be a list of sample numbers or a mask, not {chosen!r}")
    given = list(chosen)
    if given and all(isinstance(one, (bool, np.bool_)) for one in given):
        if len(given) != n_samples:
            raise ValueError(f"{name} is a mask of {len(given)} samples; the surrogate was fitted to {n_samples}")
        return np.flatnonzero(given)
    return np.unique(np.array([sample(name, one, n_samples) for one in given], dtype=np.int64))


def sample(name: str, index: Any, n_samples: int) -> int:
    """Return the number of one sample.

    Parameters
    ----------
    name : str
        The argument's name in the message.
    index : int
    n_samples : int

    Returns
    -------
    int

    Raises
    ------
    ValueError
        The number is not whole, or no such sample exists.
    """
    if isinstance(index, (bool, np.bool_)) or not isinstance(index, Integral):
        raise ValueError(f"{name} names samples by whole numbers, or by a mask over all of them, not by {index!r}")
    number = int(index)
    if not 0 <= number < n_samples:
        raise ValueError(f"there is no sample {number} among {n_samples}")
    return number
