"""DualXDA Explorer: sparse, additive data attributions with a pair of heat-maps each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xda.services.explorer import Explainer

__all__ = ["Explainer"]


def __getattr__(name: str) -> object:
    """Import on first use: PyTorch takes seconds, and parts of the package do without it."""
    if name == "Explainer":
        from xda.services.explorer import Explainer

        return Explainer
    raise AttributeError(f"module 'xda' has no attribute '{name}'")
