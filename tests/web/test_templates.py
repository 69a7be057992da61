"""Template contexts are exact: every field is used by a template, and every name in a template is a field."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from jinja2 import DictLoader, Environment

from tests.web.template_types import Reader
from xda.attribution.results import Sparsity
from xda.settings import resource_dir
from xda.web.pages.chrome import Chrome
from xda.web.pages.comparison.context import ComparisonPage
from xda.web.pages.error import ErrorPage
from xda.web.pages.explanation.context import ExplanationPage
from xda.web.pages.gallery.context import GalleryPage
from xda.web.pages.help import HelpPage
from xda.web.pages.pair.context import PairPage
from xda.web.pages.runs.context import RunsPage
from xda.web.pages.training.context import TrainingPage
from xda.web.rendering import environment
from xda.web.urls import Urls

CONTEXTS = (
    ComparisonPage,
    ErrorPage,
    ExplanationPage,
    GalleryPage,
    HelpPage,
    PairPage,
    RunsPage,
    TrainingPage,
)
PAGES: dict[str, type] = {f"pages/{page.__name__.removesuffix('Page').lower()}.html": page for page in CONTEXTS}
BESIDE_THE_CONTEXT = {"urls": Urls, "fragment": bool, "many_options": int, "offered": str}


def reader_of(pages: dict[str, type]) -> Reader:
    reader = Reader(environment(), BESIDE_THE_CONTEXT)
    for template, context in pages.items():
        reader.read(template, context)
    return reader


@pytest.mark.parametrize("template", PAGES)
def test_template_uses_only_what_its_context_has(template: str) -> None:
    assert reader_of({template: PAGES[template]}).errors == []


def test_context_fields_are_all_used_by_a_template() -> None:
    assert reader_of(PAGES).unused(PAGES.values()) == []


def test_templates_and_macros_are_all_used_by_a_page() -> None:
    reader = reader_of(PAGES)
    folder = resource_dir("frontend")
    kept = {path.relative_to(folder) for path in folder.rglob("*.*") if path.suffix in (".html", ".svg")}
    assert reader.templates == {path.as_posix() for path in kept if path.parts[0] != "node_modules"}
    assert reader.macros == reader.called


@dataclass
class Inner:
    shown: str
    forgotten: str


@dataclass
class Page:
    title: str
    parts: tuple[Inner, ...]
    pairs: tuple[tuple[str, Inner], ...]
    best: Inner | None


@dataclass
class PageOfResult:
    chrome: Chrome
    result: Sparsity


WHOLE = (
    "{{ title }}{% for part in parts %}{{ part.shown }}{% endfor %}{% for a, b in pairs %}{{ a }}{% endfor %}"
    "{% if best %}{{ best.shown }}{% endif %}"
)


def read(**templates: str) -> Reader:
    reader = Reader(Environment(loader=DictLoader({"page": WHOLE, **templates})), {"urls": Urls})
    reader.read("page", Page)
    return reader


def test_reader_of_whole_template_finds_the_unused_field() -> None:
    reader = read()
    assert reader.errors == []
    assert reader.unused([Page]) == ["Inner.forgotten"]


def test_reader_demands_fields_of_contexts_but_not_of_results() -> None:
    reader = read()
    reader.read("page", Page)
    found = reader.unused([PageOfResult])
    assert "PageOfResult.result" in found
    assert "Chrome.title" in found
    assert not [name for name in found if name.startswith("Sparsity")]


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("{{ titel }}", "page:1: no name titel"),
        ("{{ best.shwon }}", "page:1: Inner has no shwon"),
        ("{% for part in parts %}{{ part.name }}{% endfor %}", "page:1: Inner has no name"),
        ("{% for a, b in pairs %}{{ b.name }}{% endfor %}", "page:1: Inner has no name"),
        ("{% for part in parts %}{% endfor %}{{ part }}", "page:1: no name part"),
        ("{{ parts | map(attribute='name') | list }}", "page:1: Inner has no name"),
        ("{% set first = parts[0] %}{{ first.name }}", "page:1: Inner has no name"),
        ("{{ urls.halp() }}", "page:1: Urls has no halp"),
        ("{{ urls.help().url }}", "page:1: str has no url"),
        ("{% include 'part' %}", "part:1: Inner has no name"),
        ("{% import 'macros' as m %}{{ m.show(best) }}", "macros:1: Inner has no name"),
        ("{% import 'macros' as m %}{{ m.show() }}", "page:1: the macro show takes it"),
        ("{% import 'macros' as m %}{{ m.other() }}", "macros:2: no name title"),
        ("{% extends 'base' %}{% block main %}{{ best.name }}{% endblock %}", "page:1: Inner has no name"),
        ("{% macro m(a, b) %}{{ a }}{% endmacro %}", "page:1: the macro m does not use its argument b"),
    ],
)
def test_reader_of_wrong_template_says_where(template: str, error: str) -> None:
    macros = "{% macro show(it) %}{{ it.name }}{% endmacro %}\n{% macro other() %}{{ title }}{% endmacro %}"
    reader = read(
        page=template, part="{{ best.name }}", macros=macros, base="<p>{% block main %}{{ nothing }}{% endblock %}"
    )
    assert error in reader.errors
