"""DualXDA Explorer: sparse, additive data attributions with a pair of heat-maps each."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xda.services.explorer import Explainer
    from xda.services.matplotlib_figure import figure
    from xda.services.notebook import explain
    from xda.services.quanda_adapter import QuandaExplainer

__all__ = ["Explainer", "QuandaExplainer", "explain", "figure"]

_HOMES = {
    "Explainer": "xda.services.explorer",
    "QuandaExplainer": "xda.services.quanda_adapter",
    "explain": "xda.services.notebook",
    "figure": "xda.services.matplotlib_figure",
}


def __getattr__(name: str) -> object:
    """Import on first use: PyTorch takes seconds, and parts of the package do without it."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'xda' has no attribute '{name}'")
