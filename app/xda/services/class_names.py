"""Classes by their names: where a class is asked for, its number or its name will do."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np

from xda.errors import InvalidRequestError, NotFoundError


def class_number(given: int | str, names: Sequence[str]) -> int:
    """Return the number of a class that is given by number or name.

    Parameters
    ----------
    given : int or str
        A text is first taken for a name; where no class is called so, digits are a number.
    names : sequence of str
        Names of the classes, in the order of their numbers.

    Raises
    ------
    NotFoundError
        If no class is called so; the message names the nearest.
    InvalidRequestError
        If several classes are called so (the message gives their numbers), or it is neither a name nor a whole number.
    """
    if not isinstance(given, str):
        if isinstance(given, bool) or not isinstance(given, int | np.integer):
            raise InvalidRequestError(f"A class is asked for by its number or its name, and not by {given!r}.")
        return int(given)
    found = [number for number, name in enumerate(names) if name == given]
    if len(found) == 1:
        return found[0]
    if found:
        numbers = " and ".join(map(str, found))
        raise InvalidRequestError(f"{len(found)} classes are called '{given}'; give a number, {numbers}.")
    if given.lstrip("-").isdecimal():
        return int(given)
    by_lower = {name.lower(): name for name in names}
    near = [by_lower[name] for name in difflib.get_close_matches(given.lower(), by_lower, n=3)]
    advice = f"did you mean {' or '.join(repr(name) for name in near)}?" if near else _listed(names)
    raise NotFoundError(f"No class is called '{given}'; {advice}")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:10])
    return f"there are {shown}{', …' if len(names) > 10 else ''}."
