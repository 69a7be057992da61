"""One version for the package, its metadata and its public name."""

from __future__ import annotations

import re

import xda
from xda.version import __version__


def test_version_is_public_and_of_three_numbers() -> None:
    assert xda.__version__ == __version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
