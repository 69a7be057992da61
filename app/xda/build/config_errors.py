"""Errors of a configuration as sentences: each names the key, its value, and the values allowed there."""

from __future__ import annotations

import datetime
import difflib
import json
import types
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

_LONGEST = 60
"""A message shows at most so many characters of a value."""
_NEEDED = {
    "string_type": "text in quotes",
    "path_type": "a path in quotes",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list, [...]",
    "dict_type": "a table, { name = value }",
    "model_type": "a table with keys of its own",
    "model_attributes_type": "a table with keys of its own",
}
_LIMITS = {"greater_than": ">", "greater_than_equal": ">=", "less_than": "<", "less_than_equal": "<="}
_WORDS = {">": "greater than", ">=": "at least", "<": "less than", "<=": "at most"}


def first_error(error: ValidationError, model: type[BaseModel]) -> str:
    """Describe the first error; unknown keys come before missing ones, which they may misspell.

    Parameters
    ----------
    error : ValidationError
        From the validation of ``model``.
    model : type of BaseModel
        The whole configuration; its fields may have ``examples``, which the message shows.

    Returns
    -------
    str
        A sentence or two.
    """
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    loc = [str(part) for part in first["loc"]]
    key = ".".join(loc)
    if first["type"] == "extra_forbidden":
        known = list(_table(model, loc[:-1]).model_fields)
        close = difflib.get_close_matches(loc[-1].lower(), known, n=1)
        advice = f"did you mean '{close[0]}'?" if close else f"known are: {', '.join(known)}."
        return f"key '{key}' is unknown; {advice}"
    if first["type"] == "missing" and len(loc) == 1:
        return f"the table [{key}] is missing; needed are [run], [data] and [network]."
    if first["type"] == "missing":
        return f"key '{key}' is missing{_example(model, loc, '; give it, ')}."
    if first["type"] == "value_error":
        return f"key '{key}': {first['msg'].removeprefix('Value error, ')}."
    needed = _needed(first["type"], first.get("ctx", {}), first["msg"])
    return f"key '{key}' is {_shown(first['input'])}, but must be {needed}{_example(model, loc, ', ')}."


def _needed(kind: str, context: dict[str, Any], message: str) -> str:
    if kind in _NEEDED:
        return _NEEDED[kind]
    if kind in _LIMITS:
        sign = _LIMITS[kind]
        limit = next(iter(context.values()))
        return f"{_WORDS[sign]} {limit:g}"
    if kind == "literal_error":
        return str(context["expected"]).replace("'", '"')
    if kind == "string_pattern_mismatch":
        return "lower-case letters, digits and hyphens, at most 63 of them, with no hyphen at the start"
    if kind in ("too_short", "too_long"):
        least, most = context.get("min_length"), context.get("max_length")
        return f"a list of {'at least' if kind == 'too_short' else 'at most'} {least if kind == 'too_short' else most}"
    if kind in ("string_too_short", "string_too_long"):
        short = kind == "string_too_short"
        return (
            f"text of {'at least' if short else 'at most'} {context['min_length' if short else 'max_length']} letters"
        )
    return f"something else ({message})"


def _example(model: type[BaseModel], loc: Sequence[str], joint: str) -> str:
    """Return an example of the key if its field has one; a position in a list counts as the list."""
    names = [part for part in loc if not part.isdigit()]
    field = _table(model, names[:-1]).model_fields.get(names[-1])
    examples = field.examples if field is not None else None
    return f"{joint}such as {names[-1]} = {json.dumps(examples[0], ensure_ascii=False)}" if examples else ""


def _shown(value: object) -> str:
    """Return a value roughly as TOML writes it."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, datetime.date | datetime.time):
        return str(value)
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _table(table: type[BaseModel], path: Sequence[str]) -> type[BaseModel]:
    """Return the model of the table at a path of keys."""
    for part in path:
        annotation = table.model_fields[part].annotation if part in table.model_fields else None
        kinds = (annotation, *(get_args(annotation) if isinstance(annotation, types.UnionType) else ()))
        table = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), table)
    return table
