"""DualXDA Explorer: sparse, additive data attributions with a pair of heat-maps each."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from xda.version import __version__

if TYPE_CHECKING:
    from xda.evaluate.quanda import QuandaExplainer
    from xda.explanation.fit import explain
    from xda.explanation.run import Explainer
    from xda.present.matplotlib_figure import figure

__all__ = ["Explainer", "QuandaExplainer", "__version__", "explain", "figure"]

_HOMES = {
    "Explainer": "xda.explanation.run",
    "QuandaExplainer": "xda.evaluate.quanda",
    "explain": "xda.explanation.fit",
    "figure": "xda.present.matplotlib_figure",
}


def __getattr__(name: str) -> object:
    """Import on first use, since PyTorch takes seconds and parts of the package do not need it."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'xda' has no attribute '{name}'")
