"""Reads templates as a type checker would: which fields of their contexts they use, which names they do not have.

The reader follows the value of every expression from the context through loops, macros, includes and blocks.
A type is the set of what a value may be; it leaves out ``None``, since a template asks for that before it looks inside.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from jinja2 import Environment, nodes
from jinja2.runtime import LoopContext

Type = frozenset[Any]
TEXT: Type = frozenset({str})


@dataclass(frozen=True)
class Many:
    """A sequence: what each of its elements may be."""

    of: Type


@dataclass(frozen=True, eq=False)
class Macro:
    """A macro with the names that it sees and the template that it stands in."""

    node: nodes.Macro
    names: Mapping[str, Type]
    template: str


@dataclass(frozen=True, eq=False)
class Module:
    """A template that was imported."""

    names: Mapping[str, Type]


def type_of(hint: Any) -> Type:
    """Return what a type hint allows, without None."""
    if get_origin(hint) in (Union, UnionType):
        return frozenset().union(*(type_of(part) for part in get_args(hint)))
    if get_origin(hint) is Literal:
        return frozenset(type(value) for value in get_args(hint))
    return frozenset() if hint in (None, NoneType) else frozenset({hint})


def elements(kind: Type) -> Type:
    """Return what the elements of a sequence may be."""
    found: Type = frozenset()
    for each in kind:
        found |= each.of if isinstance(each, Many) else frozenset()
        found |= frozenset().union(*(type_of(part) for part in get_args(each) if part is not Ellipsis))
    return found


def contexts_below(roots: Iterable[type]) -> set[type]:
    """Return the dataclasses that can be reached from some through their fields.

    Results of other packages than the web are left out: a page shows of them what it needs.
    """
    found: set[type] = set()
    waiting: list[Any] = list(roots)
    while waiting:
        hint = waiting.pop()
        if isinstance(hint, type) and is_dataclass(hint):
            of_another_package = hint.__module__.startswith("xda.") and not hint.__module__.startswith("xda.web.")
            if hint not in found and not of_another_package:
                found.add(hint)
                waiting.extend(get_type_hints(hint).values())
        else:
            waiting.extend(get_args(hint))
    return found


class Reader:
    """Follows templates from their contexts.

    ``errors`` are the names and fields that are used but not there, ``used`` the fields that are, as class and name;
    ``templates`` are those that were read, ``macros`` those that are in them, ``called`` those that are called.
    """

    def __init__(self, env: Environment, names: Mapping[str, Any]) -> None:
        self.env = env
        self.globals = {name: type_of(hint) for name, hint in names.items()}
        self.errors: list[str] = []
        self.used: set[tuple[type, str]] = set()
        self.templates: set[str] = set()
        self.macros: set[tuple[str, str]] = set()
        self.called: set[tuple[str, str]] = set()

    def read(self, template: str, context: type) -> None:
        """Follow one page from its context."""
        names = {name: type_of(hint) for name, hint in get_type_hints(context).items()}
        self._used_names: set[str] = set()
        self._template(template, {**self.globals, **names}, {})
        self.used |= {(context, name) for name in self._used_names & names.keys()}

    def unused(self, roots: Iterable[type]) -> list[str]:
        """Return the fields of the contexts, nested ones too, that no template uses."""
        return sorted(
            f"{kind.__name__}.{field.name}"
            for kind in contexts_below(roots)
            for field in fields(kind)
            if (kind, field.name) not in self.used
        )

    def _parse(self, template: str) -> nodes.Template:
        assert self.env.loader is not None
        self.templates.add(template)
        return self.env.parse(self.env.loader.get_source(self.env, template)[0])

    def _template(self, template: str, names: dict[str, Type], blocks: Mapping[str, tuple[Any, ...]]) -> None:
        """Follow a template; ``blocks`` are those of its children, each with the names that it sees."""
        body = self._parse(template).body
        parent = next((node for node in body if isinstance(node, nodes.Extends)), None)
        here = Scope(self, template, dict(names), blocks)
        if parent is None:
            here.statements(body)
            return
        here.statements([node for node in body if isinstance(node, nodes.Import | nodes.Macro | nodes.Assign)])
        own = {node.name: (node.body, here.names, template) for node in body if isinstance(node, nodes.Block)}
        assert isinstance(parent.template, nodes.Const)
        self._template(parent.template.value, names, {**own, **blocks})


class Scope:
    """The names at one place of a template."""

    def __init__(
        self, reader: Reader, template: str, names: dict[str, Type], blocks: Mapping[str, tuple[Any, ...]]
    ) -> None:
        self.reader, self.template, self.names, self.blocks = reader, template, names, blocks

    def inner(self, **names: Type) -> Scope:
        """Return a scope whose assignments stay inside it."""
        return Scope(self.reader, self.template, {**self.names, **names}, self.blocks)

    def error(self, node: nodes.Node, words: str) -> None:
        """Record an error with its place."""
        self.reader.errors.append(f"{self.template}:{node.lineno}: {words}")

    # Statements

    def statements(self, body: Sequence[nodes.Node]) -> None:
        """Follow statements in their order."""
        for node in body:
            getattr(self, f"_{type(node).__name__.lower()}_statement")(node)

    def _output_statement(self, node: nodes.Output) -> None:
        for part in node.nodes:
            if not isinstance(part, nodes.TemplateData):
                self.value(part)

    def _if_statement(self, node: nodes.If) -> None:
        self.value(node.test)
        self.statements([*node.body, *node.elif_, *node.else_])

    def _for_statement(self, node: nodes.For) -> None:
        self.inner().statements(node.else_)
        kind = self.value(node.iter)
        if kind == {Many(frozenset())}:
            return  # an empty list in the template itself
        inner = self.inner(loop=frozenset({LoopContext}))
        inner.bind(node.target, elements(kind))
        if node.test is not None:
            inner.value(node.test)
        inner.statements(node.body)

    def _assign_statement(self, node: nodes.Assign) -> None:
        self.bind(node.target, self.value(node.node))

    def _macro_statement(self, node: nodes.Macro) -> None:
        self.names[node.name] = frozenset({Macro(node, self.names, self.template)})
        self.reader.macros.add((self.template, node.name))
        loaded = {name.name for part in node.body for name in part.find_all(nodes.Name) if name.ctx == "load"}
        loaded |= {part.name for part in node.body if isinstance(part, nodes.Name)}
        for argument in node.args:
            if argument.name not in loaded:
                self.error(node, f"the macro {node.name} does not use its argument {argument.name}")

    def _import_statement(self, node: nodes.Import) -> None:
        assert isinstance(node.template, nodes.Const)
        module = Scope(self.reader, node.template.value, dict(self.reader.globals), {})
        module.statements(self.reader._parse(node.template.value).body)
        self.names[node.target] = frozenset({Module(module.names)})

    def _include_statement(self, node: nodes.Include) -> None:
        assert isinstance(node.template, nodes.Const)
        self.reader._template(node.template.value, self.names, {})

    def _block_statement(self, node: nodes.Block) -> None:
        body, names, template = self.blocks.get(node.name, (node.body, self.names, self.template))
        Scope(self.reader, template, dict(names), self.blocks).statements(body)

    def bind(self, target: nodes.Node, kind: Type) -> None:
        """Give a name, or the names of a tuple, its type."""
        if isinstance(target, nodes.Name):
            self.names[target.name] = kind
            return
        assert isinstance(target, nodes.Tuple)
        for place, part in enumerate(target.items):
            kinds = [parts for each in kind if (parts := get_args(each)) and Ellipsis not in parts]
            if not kinds or any(len(each) != len(target.items) for each in kinds):
                self.error(target, "what is unpacked has another length")
                return
            self.bind(part, frozenset().union(*(type_of(each[place]) for each in kinds)))

    # Expressions

    def value(self, node: nodes.Node) -> Type:
        """Return what an expression may be, and note what it uses."""
        special = getattr(self, f"_{type(node).__name__.lower()}_value", None)
        if special is not None:
            kind: Type = special(node)
            return kind
        # comparisons, arithmetic, logic: their parts are used
        return frozenset().union(*(self.value(child) for child in node.iter_child_nodes()))

    def _name_value(self, node: nodes.Name) -> Type:
        self.reader._used_names.add(node.name)
        if node.name not in self.names:
            self.error(node, f"no name {node.name}")
        return self.names.get(node.name, frozenset())

    def _const_value(self, node: nodes.Const) -> Type:
        return frozenset() if node.value is None else frozenset({type(node.value)})

    def _templatedata_value(self, node: nodes.TemplateData) -> Type:
        return TEXT

    def _getattr_value(self, node: nodes.Getattr) -> Type:
        return self.attribute(node, self.value(node.node), node.attr)

    def attribute(self, node: nodes.Node, kind: Type, name: str) -> Type:
        """Return what an attribute may be; every one of the types must have it."""
        found: Type = frozenset()
        for each in kind:
            if isinstance(each, Module) and name in each.names:
                found |= each.names[name]
            elif isinstance(each, type) and name in get_type_hints(each):
                self.reader.used.add((each, name))
                found |= type_of(get_type_hints(each)[name])
            elif isinstance(each, type) and hasattr(each, name):
                found |= frozenset({getattr(each, name)})
            else:
                self.error(node, f"{getattr(each, '__name__', each)} has no {name}")
        if not kind:
            self.error(node, f"nothing is known of what {name} is asked of")
        return found

    def _getitem_value(self, node: nodes.Getitem) -> Type:
        self.value(node.arg)
        return elements(self.value(node.node))

    def _tuple_value(self, node: nodes.Tuple) -> Type:
        return frozenset({Many(frozenset().union(*(self.value(item) for item in node.items)))})

    _list_value = _tuple_value

    def _test_value(self, node: nodes.Test) -> Type:
        self.value(node.node)
        return frozenset({bool})

    def _compare_value(self, node: nodes.Compare) -> Type:
        for part in (node.expr, *(operand.expr for operand in node.ops)):
            self.value(part)
        return frozenset({bool})

    def _concat_value(self, node: nodes.Concat) -> Type:
        for part in node.nodes:
            self.value(part)
        return TEXT

    def _condexpr_value(self, node: nodes.CondExpr) -> Type:
        self.value(node.test)
        return self.value(node.expr1) | (self.value(node.expr2) if node.expr2 is not None else frozenset())

    def _filter_value(self, node: nodes.Filter) -> Type:
        assert node.node is not None
        kind = self.value(node.node)
        arguments = [self.value(argument) for argument in node.args]
        if node.name == "map":
            name = next((pair.value for pair in node.kwargs if pair.key == "attribute"), None)
            of = self.attribute(node, elements(kind), name.value) if isinstance(name, nodes.Const) else TEXT
            return frozenset({Many(of)})
        if node.name == "selectattr":
            assert isinstance(node.args[0], nodes.Const)
            self.attribute(node, elements(kind), node.args[0].value)
            return kind
        if node.name in ("first", "max"):
            return elements(kind)
        if node.name == "default":
            return kind | arguments[0]
        return kind if node.name == "list" else TEXT

    def _call_value(self, node: nodes.Call) -> Type:
        arguments = [self.value(argument) for argument in node.args]
        by_name = {pair.key: self.value(pair.value) for pair in node.kwargs}
        found: Type = frozenset()
        for each in self.value(node.node):
            if isinstance(each, Macro):
                self._macro(node, each, arguments, by_name)
                found |= TEXT
            elif inspect.isfunction(each):
                found |= type_of(get_type_hints(each)["return"])
            else:
                self.error(node, f"{each} cannot be called")
        return found

    def _macro(self, call: nodes.Call, macro: Macro, arguments: list[Type], by_name: dict[str, Type]) -> None:
        self.reader.called.add((macro.template, macro.node.name))
        wanted = [argument.name for argument in macro.node.args]
        optional = wanted[len(wanted) - len(macro.node.defaults) :]
        given = {**dict(zip(wanted, arguments, strict=False)), **by_name}
        if len(arguments) > len(wanted) or given.keys() - set(wanted) or set(wanted) - given.keys() - set(optional):
            self.error(call, f"the macro {macro.node.name} takes {', '.join(wanted)}")
        inner = Scope(self.reader, macro.template, dict(macro.names), {})
        defaults = {name: inner.value(default) for name, default in zip(optional, macro.node.defaults, strict=True)}
        inner.names.update({**dict.fromkeys(wanted, frozenset()), **defaults, **given})
        inner.statements(macro.node.body)
