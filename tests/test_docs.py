"""README and docs keep up with the code: settings, commands, routes, files, links; public functions are documented."""

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
from xda.storage.run import layout
from xda.web.factory import create_app

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "docker").glob("*.md")])
"""All pages that people read."""


def reference(name: str) -> str:
    """Return a page of the reference."""
    return (ROOT / "docs" / "reference" / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_reference_names_each_setting(name: str) -> None:
    assert f"\n| `XDA_{name.upper()}` |" in reference("settings")


def commands() -> list[str]:
    (action,) = (a for a in cli._parser()._actions if isinstance(a, argparse._SubParsersAction))
    return list(action.choices)


@pytest.mark.parametrize("name", commands())
def test_reference_names_each_command(name: str) -> None:
    assert f"\n| `xda {name}" in reference("commands")


def routes() -> list[str]:
    return sorted(create_app(Settings()).openapi()["paths"])


@pytest.mark.parametrize("path", routes())
def test_reference_names_each_route(path: str) -> None:
    routes = reference("routes")
    assert f"`{path}`" in routes or f" {path}`" in routes


def test_docs_name_each_make_target() -> None:
    verbs = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.M)
    assert verbs
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [verb for verb in verbs if f"`make {verb}`" not in readme]
    assert missing == []


def test_reference_names_each_file_of_a_run() -> None:
    page = reference("run-folder")
    arrays = [array.name for array in (*layout.SPLIT_ARRAYS, *layout.SURROGATE_ARRAYS)]
    files = [f"{re.sub('_(supporting|opposing)$', '_…', name)}.npy" for name in arrays]
    files += [array.content for array in layout.SPLIT_ARRAYS if array.content]
    columns = [column.name for table in layout.TABLES.values() for column in table]
    names = [*files, *layout.TABLES, *columns, layout.NETWORK, layout.CODE, "manifest.json"]
    assert [name for name in names if f"`{name}`" not in page] == []


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_docs_links_exist(page: Path) -> None:
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    broken = []
    for link in re.findall(r"\]\((?!https?://)([^)\s]+)", text):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_docs_index_names_each_page() -> None:
    for folder in ("reference", "how-to", "decisions"):
        pages = {page.name for page in (ROOT / "docs" / folder).glob("*.md")} - {"README.md"}
        index = (ROOT / "docs" / folder / "README.md").read_text(encoding="utf-8")
        assert len(pages) > 1
        assert [name for name in sorted(pages) if f"({name})" not in index] == [], folder


def test_map_of_the_readme_names_each_room() -> None:
    (drawn,) = re.findall(r"^    app/xda/\n(?:    .*\n)+", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    rooms = [path for path in (ROOT / "app" / "xda").iterdir() if not path.name.startswith(("_", "."))]
    names = [path.stem if path.is_file() else f"{path.name}/" for path in rooms]
    assert len(names) > 10
    assert [name for name in names if not re.search(rf"(?<![\w/]){name}", drawn)] == []


def test_readme_fits_a_newcomer() -> None:
    assert (ROOT / "README.md").read_text(encoding="utf-8").count("\n") <= 120


IN_EXAMPLES = ("outliers", "stripes", "pixel_shuffle")
"""Things that pages of docs/how-to make as an example."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`((?:app|docs|examples|frontend|static|tests)/[\w./-]+)`", text)
    named = [name for name in named if not any(word in name for word in (*IN_EXAMPLES, "node_modules", "vendor"))]
    assert [name for name in named if not (ROOT / name).exists()] == []


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
def test_docstrings_of_public_functions_list_parameters_and_errors(name: str) -> None:
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
