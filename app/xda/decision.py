"""A decision to explain, and the bounds of a run: its images, classes and C."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from xda.errors import InvalidRequestError, NotFoundError
from xda.numerals import parameter

Split = Literal["train", "test"]
SPLITS: tuple[Split, Split] = ("train", "test")

ClassesAsked = int | str | Sequence[int] | Sequence[str] | NDArray[np.int64]
"""One class for all images, by number or name, or one for each."""

V = TypeVar("V", float, NDArray[np.float64])
V_co = TypeVar("V_co", covariant=True)


class ByClass(Protocol[V_co]):
    """Values of every class: logits, a row of alpha, the rows of W."""

    def __getitem__(self, number: int, /) -> V_co:
        """Return the value of one class."""


def contrast(values: ByClass[V], target: int, against: int | None) -> V:
    """Return the value of the target minus that of the contrast class, if there is one (method section 2)."""
    return values[target] if against is None else values[target] - values[against]


@dataclass(frozen=True, slots=True)
class Decision:
    """The question why ``target``, and not ``against``, on a test image, for the surrogate of one C.

    An explainer's ``decide`` makes it once from a person's request; all other methods take it unchanged.
    """

    test: int
    """Position of the test image, in the test set or among the given images."""
    c: float
    target: int
    against: int | None = None

    def classes(self, names: Sequence[str] | None = None) -> str:
        """Return ``9``, or ``9 and not 4``: the numbers of the classes, or their names."""
        return " and not ".join(
            str(k) if names is None else names[k] for k in (self.target, self.against) if k is not None
        )

    def contrast(self, values: ByClass[V]) -> V:
        """Return the value of the target minus that of the contrast class."""
        return contrast(values, self.target, self.against)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The images, classes and C of one run, or of a model in memory."""

    run_id: str
    n_train: int
    n_test: int
    n_classes: int
    c_values: tuple[float, ...]
    """Ascending."""
    default_c: float
    """C of a request without one, see ``xda.runs.default_c``."""
    subject: str = ""
    """Subject of messages; empty means the run."""

    @property
    def _subject(self) -> str:
        return self.subject or f"Run '{self.run_id}'"

    def resolve_c(self, c: float | None) -> float:
        """Return the run's own value for a C given by a person, or the default for None.

        Raises
        ------
        NotFoundError
            The run has no surrogate with this C.
        InvalidRequestError
            The C is not a number.
        """
        if c is None:
            return self.default_c
        if isinstance(c, bool) or not isinstance(c, Real):
            raise InvalidRequestError(f"C is {c!r}; it must be a number.")
        for value in self.c_values:
            if math.isclose(c, value, rel_tol=1e-6):
                return value
        known = ", ".join(map(parameter, self.c_values))
        raise NotFoundError(f"{self._subject} has no surrogate with C = {c:g}; it has C = {known}.")

    def check_image(self, split: Split, index: int) -> None:
        """Raise NotFoundError if the image does not exist, InvalidRequestError if the index is not a whole number."""
        count = self.n_train if split == "train" else self.n_test
        what = "training" if split == "train" else "test"
        if isinstance(index, bool) or not isinstance(index, int | np.integer):
            raise InvalidRequestError(f"The index of a {what} image is {index!r}; it must be a whole number.")
        if not 0 <= index < count:
            raise NotFoundError(
                f"{self._subject} has no {what} image {index}; its {what} images are 0 to {count - 1:,}."
            )

    def check_images(self, split: Split, indices: Sequence[int]) -> None:
        """Check several images as ``check_image`` does; raise InvalidRequestError if the argument is not a list."""
        if np.ndim(indices) != 1:
            raise InvalidRequestError(f"The indices of training images are {indices!r}; give a list such as [0, 7].")
        for index in indices:
            self.check_image(split, index)

    def check_limit(self, limit: int, least: int = 0) -> None:
        """Raise InvalidRequestError if the limit is not a whole number, or too small."""
        if isinstance(limit, bool) or not isinstance(limit, int | np.integer):
            raise InvalidRequestError(f"limit is {limit!r}; it must be a whole number.")
        if limit < least:
            raise InvalidRequestError(f"limit is {limit}; it must be at least {least}.")

    def check_listed(self, limit: int | None, train_class: int | str | None, names: Sequence[str]) -> int | None:
        """Return the number of the class whose training images alone are listed; check it, and the limit if any."""
        if limit is not None:
            self.check_limit(limit)
        if train_class is None:
            return None
        number = class_number(train_class, names)
        self.check_class(number)
        return number

    def check_class(self, number: int) -> None:
        """Raise NotFoundError if the class does not exist."""
        if not 0 <= number < self.n_classes:
            raise NotFoundError(f"{self._subject} has no class {number}; its classes are 0 to {self.n_classes - 1}.")

    def check_decision(self, target: int, against: int | None) -> None:
        """Raise NotFoundError if target or contrast is not a class, InvalidRequestError if both are the same."""
        self.check_class(target)
        if against is None:
            return
        self.check_class(against)
        if against == target:
            raise InvalidRequestError(
                f"The contrast class and the target are both {target}; choose two different classes."
            )


def class_number(given: int | str, names: Sequence[str]) -> int:
    """Return the number of a class, given its number or name.

    Parameters
    ----------
    given : int or str
        A text is first read as a name; if no class has it, digits are read as a number.
    names : sequence of str
        Names of the classes, in the order of their numbers.

    Raises
    ------
    NotFoundError
        No class has this name; the message names the nearest.
    InvalidRequestError
        Several classes have this name (the message gives their numbers), or it is neither a name nor a whole number.
    """
    if not isinstance(given, str):
        if isinstance(given, bool) or not isinstance(given, int | np.integer):
            raise InvalidRequestError(f"A class is {given!r}; give its number or its name.")
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


def class_numbers(given: ClassesAsked, names: Sequence[str], n: int) -> list[int]:
    """Return the requested class of each of n images, given one for all or one for each.

    Raises
    ------
    NotFoundError, InvalidRequestError
        As for ``class_number``, and if there is not one class for each image.
    """
    asked = np.asarray(given)
    mixed = isinstance(given, list | tuple) and any(isinstance(each, bool | np.bool_) for each in given)
    if asked.ndim > 1 or asked.dtype.kind not in "iuU" or mixed or (asked.ndim and len(asked) != n):
        raise InvalidRequestError(f"target is {given}; give one class, or one for each of the {n} images.")
    numbers = [class_number(each, names) for each in asked.ravel().tolist()]
    return numbers if asked.ndim else numbers * n


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:10])
    return f"there are {shown}{', …' if len(names) > 10 else ''}."
