"""Registry of the operations that relevance can pass; each module of this package registers its own.

To add an operation, write one module beside this one and its test; see ``docs/how-to/add-a-network-operation.md``.
Layers with weights are not registered: the composite chooses their rule (``xda.relevance.canonize``).
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import fx

from xda.relevance import operations
from xda.relevance.nodes import module_of, name_of
from xda.relevance.rules import Layer

Sources = tuple[fx.Node, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """One kind of operation."""

    sources: Callable[[fx.Node], Sources]
    """Return the nodes to which the relevance of a node goes, or refuse the node (``nodes.require``)."""
    rule: Callable[[fx.Node, Sources], Layer]
    """Return the node with its rule; ``Layer.run`` gets the values of the sources, then those of ``others``."""
    functions: tuple[str, ...] = ()
    """Names of functions and tensor methods."""
    layers: tuple[Any, ...] = ()
    """Classes of layers."""
    others: Callable[[fx.Node, Sources], Sources] = lambda node, sources: ()
    """Return further nodes that the rule reads but that get no relevance."""


_registered: list[Operation] = []


def register(operation: Operation) -> None:
    """Register an operation."""
    _registered.append(operation)


@functools.cache
def _import_all(path: tuple[str, ...]) -> None:
    for module in sorted(each.name for each in pkgutil.iter_modules(path)):
        importlib.import_module(f"{operations.__name__}.{module}")


def known_operations() -> list[Operation]:
    """Return all registered operations."""
    _import_all(tuple(operations.__path__))
    return _registered


def operation_of(node: fx.Node) -> Operation | None:
    """Return the registered operation of a node; None if there is none."""
    module, name = module_of(node), name_of(node)
    for operation in known_operations():
        # one by one: isinstance refuses a tuple that mixes zennit's types with others
        if name in operation.functions or any(isinstance(module, kind) for kind in operation.layers):
            return operation
    return None


def is_known_layer(module: object) -> bool:
    """Whether a layer's own class is registered."""
    return any(type(module) is kind for operation in known_operations() for kind in operation.layers)
