"""Imports zennit without torchvision, which heat-maps do not need and which takes 160 MiB and up to two seconds.

zennit's initialiser imports ``zennit.torchvision`` and with it all of torchvision. Here zennit is imported with a
placeholder in that one place, which is then taken away again: ``from zennit.torchvision import …`` and the attribute
``zennit.torchvision`` load the real module at their first use, by whomever.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

_NAME = "zennit.torchvision"


def import_zennit() -> None:
    """Import zennit without torchvision; if either is imported already, import zennit as usual."""
    if "zennit" in sys.modules or "torchvision" in sys.modules:
        return
    sys.modules[_NAME] = ModuleType(_NAME)
    try:
        zennit = importlib.import_module("zennit")
    finally:
        del sys.modules[_NAME]
    del zennit.torchvision
    zennit.__getattr__ = _load  # type: ignore[method-assign]


def _load(attribute: str) -> ModuleType:
    """Answer for attributes that zennit does not have (PEP 562)."""
    if attribute == "torchvision":
        return importlib.import_module(_NAME)
    raise AttributeError(f"module 'zennit' has no attribute '{attribute}'")
