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
    schema = create_app(Settings()).openapi()
    paths = {re.sub(r"\{(\w+)\}", r"{\1}", path) for path in schema["paths"]}
    return sorted(paths)


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


NEEDS_EXTRA = {"xda.services.quanda_adapter": "quanda"}
"""Modules that can only be imported with a package of an optional extra."""


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
        if inspect.isfunction(value) or inspect.isclass(value):
            assert inspect.getdoc(value), f"{name}.{attribute} has no docstring"
