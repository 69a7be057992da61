"""What may be asked of a run: which images, classes and C it has. Everything else is refused in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np

from xda.errors import InvalidRequestError, NotFoundError
from xda.services.numbers import parameter
from xda.services.views import GalleryFilter, Split


@dataclass(frozen=True, slots=True)
class Bounds:
    """The extent of one run, or of what stands in for one."""

    run_id: str
    n_train: int
    n_test: int
    n_classes: int
    c_values: tuple[float, ...]
    """Ascending."""
    default_c: float
    """Used where none is asked for, see ``xda.services.default_c``."""
    subject: str = ""
    """What messages speak of where that is not the run."""

    @property
    def _subject(self) -> str:
        return self.subject or f"Run '{self.run_id}'"

    def resolve_c(self, c: float | None) -> float:
        """Return the run's own value for a C given by a person, or the default for None.

        Raises
        ------
        NotFoundError
            If the run has no surrogate with this C.
        InvalidRequestError
            If it is no number.
        """
        if c is None:
            return self.default_c
        if isinstance(c, bool) or not isinstance(c, Real):
            raise InvalidRequestError(f"C is a number, and not {c!r}.")
        for value in self.c_values:
            if math.isclose(c, value, rel_tol=1e-6):
                return value
        known = ", ".join(map(parameter, self.c_values))
        raise NotFoundError(f"{self._subject} has no surrogate with C = {c:g}; it has C = {known}.")

    def check_image(self, split: Split, index: int) -> None:
        """Raise NotFoundError if there is no such image, InvalidRequestError for what is no whole number."""
        count = self.n_train if split == "train" else self.n_test
        what = "training" if split == "train" else "test"
        if isinstance(index, bool) or not isinstance(index, int | np.integer):
            raise InvalidRequestError(f"A {what} image is asked for by its number, a whole one, and not by {index!r}.")
        if not 0 <= index < count:
            raise NotFoundError(
                f"{self._subject} has no {what} image {index}; its {what} images are 0 to {count - 1:,}."
            )

    def check_images(self, split: Split, indices: Sequence[int]) -> None:
        """Raise as ``check_image`` for each of several; InvalidRequestError for what is no list."""
        if np.ndim(indices) != 1:
            raise InvalidRequestError(f"Several images are asked for at once, such as [0, 7], and not {indices!r}.")
        for index in indices:
            self.check_image(split, index)

    def check_limit(self, limit: int, least: int = 0) -> None:
        """Raise InvalidRequestError for what is no whole number, or too small."""
        if isinstance(limit, bool) or not isinstance(limit, int | np.integer):
            raise InvalidRequestError(f"limit is {limit!r}; it must be a whole number.")
        if limit < least:
            raise InvalidRequestError(f"limit is {limit}; it must be at least {least}.")

    def check_class(self, number: int) -> None:
        """Raise NotFoundError if there is no such class."""
        if not 0 <= number < self.n_classes:
            raise NotFoundError(f"{self._subject} has no class {number}; its classes are 0 to {self.n_classes - 1}.")

    def check_decision(self, target: int, against: int | None) -> None:
        """Raise if target or contrast is no class (NotFoundError), or both are the same (InvalidRequestError)."""
        self.check_class(target)
        if against is None:
            return
        self.check_class(against)
        if against == target:
            raise InvalidRequestError(
                f"The contrast class and the target are both {target}; choose two different classes."
            )

    def check_filter(self, choice: GalleryFilter) -> None:
        """Raise NotFoundError for an unknown class, InvalidRequestError for a margin that none can have."""
        for number in (choice.label, choice.predicted):
            if number is not None:
                self.check_class(number)
        if choice.max_margin is not None and not 0.0 <= choice.max_margin <= 1.0:
            raise InvalidRequestError("max_margin is a difference of two probabilities; it must be between 0 and 1.")
