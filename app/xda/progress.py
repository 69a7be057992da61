"""Progress of long steps: the type of the callback, and a progress bar for terminals."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

from tqdm import tqdm

Progress = Callable[[str, int, int], None]
"""Called as ``progress(stage, done, total)``, for one stage until ``done == total``."""


def silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""


class TerminalProgress:
    """A progress bar with the remaining time for each stage; one line per stage if stderr is no terminal."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._stage = ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` parts of ``stage`` are finished."""
        if stage != self._stage or self._bar is None:
            self.close()
            self._stage = stage
            interactive = sys.stderr.isatty()
            self._bar = tqdm(
                total=total,
                initial=done,  # Parts from an earlier attempt do not count for the present speed.
                desc=f"{stage:<34}",
                file=sys.stderr,
                mininterval=0.2 if interactive else 5.0,
                bar_format="{desc}{percentage:3.0f}% |{bar:24}| {elapsed}, {remaining} left {postfix}",
            )
        self._bar.update(done - self._bar.n)
        if done >= total:
            self.close()

    def close(self) -> None:
        """Finish the current bar, if any."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
            self._stage = ""

    def __enter__(self) -> TerminalProgress:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the current bar."""
        self.close()
