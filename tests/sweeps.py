"""Which cases of a slow sweep run: a tenth by default, the same at every run; all of them with ``make test-all``."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from random import Random
from typing import TypeVar

Case = TypeVar("Case")

WHOLE = os.environ.get("SWEEPS") == "whole"
"""``make test-all`` sets it."""


def drawn(
    cases: Sequence[Case], seed: int, *, share: int = 10, family: Callable[[Case], Hashable] | None = None
) -> list[Case]:
    """Return one of every ``share`` cases, drawn with a seed, in their order; of each family one at least."""
    if WHOLE:
        return list(cases)
    families: dict[Hashable, list[int]] = {}
    for place, case in enumerate(cases):
        families.setdefault(family(case) if family else None, []).append(place)
    chance = Random(seed)
    places = (chance.sample(members, -(-len(members) // share)) for members in families.values())
    return [cases[place] for place in sorted(place for some in places for place in some)]
