"""The README keeps up with the code: every setting, command and route is in it; public functions are documented."""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import re
import warnings
from pathlib import Path

import pytest

import xda
from xda import cli
from xda.settings import Settings
from xda.web.factory import create_app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_each_setting_is_in_the_readme(name: str) -> None:
    assert f"`XDA_{name.upper()}`" in README


def commands() -> list[str]:
    (action,) = (a for a in cli._parser()._actions if isinstance(a, argparse._SubParsersAction))
    return list(action.choices)


@pytest.mark.parametrize("name", commands())
def test_each_command_is_in_the_readme(name: str) -> None:
    assert f"`xda {name}" in README


def routes() -> list[str]:
    return sorted(create_app(Settings()).openapi()["paths"])


@pytest.mark.parametrize("path", routes())
def test_each_route_of_the_interface_is_in_the_readme(path: str) -> None:
    assert f"`{path}`" in README or f" {path}`" in README


def test_each_verb_of_make_is_in_the_readme() -> None:
    verbs = re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.M)
    assert verbs
    missing = [verb for verb in verbs if f"make {verb}" not in README]
    assert missing == []


def test_pictures_and_files_that_the_readme_links_exist() -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def modules() -> list[str]:
    return [module.name for module in pkgutil.walk_packages(xda.__path__, "xda.") if ".migrations" not in module.name]


NEEDS_EXTRA = {"xda.evaluate.quanda": "quanda"}
"""Modules that can only be imported with a package of an optional extra."""


def described_parameters(docstring: str) -> set[str] | None:
    """Return the names in a docstring's section of parameters, None where it has no such section."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", inspect.cleandoc(docstring), re.M | re.S)
    if section is None:
        return None
    heads = [line.partition(" :")[0] for line in section[1].splitlines() if line and not line[0].isspace()]
    return {name.strip().lstrip("*") for head in heads for name in head.split(",")}


@pytest.mark.parametrize("name", modules())
def test_public_functions_say_what_they_take_and_raise(name: str) -> None:
    if name in NEEDS_EXTRA:
        with warnings.catch_warnings(action="ignore"):
            pytest.importorskip(NEEDS_EXTRA[name], reason=f"the extra {NEEDS_EXTRA[name]} is not installed")
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    for attribute, value in vars(module).items():
        if attribute.startswith("_") or getattr(value, "__module__", None) != name:
            continue
        functions = {attribute: value} if inspect.isfunction(value) else {}
        if inspect.isclass(value):
            # a dataclass without a docstring gets its signature as one
            own = (value.__doc__ or "").removeprefix(f"{attribute}(") == value.__doc__
            assert own, f"{name}.{attribute} has no docstring"
            functions = {
                f"{attribute}.{method}": inspect.unwrap(function)
                for method, function in vars(value).items()
                if inspect.isfunction(function) and not method.startswith("_")
            }
        for called, function in functions.items():
            assert function.__doc__, f"{name}.{called} has no docstring"
            described = described_parameters(function.__doc__)
            taken = set(inspect.signature(function).parameters) - {"self", "cls"}
            assert described is None or described == taken, f"{name}.{called} describes {described}, takes {taken}"
