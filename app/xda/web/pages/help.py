"""The help page, which is the same for every run."""

from __future__ import annotations

from dataclasses import dataclass

from xda.web.pages.chrome import Chrome


@dataclass(frozen=True, slots=True)
class HelpPage:
    """The method in one page; all of its text is in the template."""

    chrome: Chrome
