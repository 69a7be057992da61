"""Every module of the application has a test of its name, or says here where it is tested."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parent
APP = TESTS.parent / "app" / "xda"

TESTED_IN = {
    "xda.relevance.nodes": "relevance/operations/test_registry.py",
    "xda.attribution.collection": "attribution/test_contribution_tables.py",
    "xda.attribution.active": "attribution/test_curvature.py",
    "xda.attribution.class_means": "explanation/test_rankings.py",
    "xda.attribution.preparation": "explanation/test_rankings.py",
    "xda.attribution.ranking": "attribution/test_decomposition.py",
    "xda.attribution.removal": "attribution/test_curvature.py",
    "xda.attribution.sparsity": "attribution/test_decomposition.py",
    "xda.attribution.results": "attribution/test_alignment.py",
    "xda.build.verify": "build/test_binary.py",
    "xda.errors": "test_decision.py",
    "xda.explanation.device_queue": "explanation/test_heatmaps.py",
    "xda.explanation.illustration": "present/test_intercept.py",
    "xda.explanation.map_requests": "explanation/test_run.py",
    "xda.explanation.model": "explanation/test_both.py",
    "xda.explanation.protocol": "explanation/test_both.py",
    "xda.explanation.refit": "explanation/test_both.py",
    "xda.networks.batches": "networks/test_features.py",
    "xda.networks.kept_code": "explanation/test_kept_code.py",
    "xda.networks.presets": "networks/test_features.py",
    "xda.present.canvas": "present/test_png_figure.py",
    "xda.present.embedded": "present/test_vector.py",
    "xda.present.pair_facts": "present/test_intercept.py",
    "xda.present.raster": "present/test_png_figure.py",
    "xda.present.snapshots": "web/api/test_links.py",
    "xda.present.text": "present/test_intercept.py",
    "xda.runs.foreign_errors": "explanation/test_hostile_runs.py",
    "xda.runs.left_out": "build/test_configured_dataset.py",
    "xda.runs.ranking_arrays": "explanation/test_rankings.py",
    "xda.storage.run.build_state": "storage/run/test_stages.py",
    "xda.storage.run.growing_arrays": "storage/run/test_stages.py",
    "xda.storage.run.space": "storage/run/test_full_disk.py",
    "xda.surrogate.blocks": "surrogate/test_certificate.py",
    "xda.surrogate.face_kernels": "surrogate/test_kernels.py",
    "xda.surrogate.newton": "surrogate/test_solver.py",
    "xda.surrogate.scan_kernels": "surrogate/test_kernels.py",
    "xda.web.api.comparison_route": "web/pages/comparison/test_comparison.py",
    "xda.web.api.models": "web/api/test_runs.py",
    "xda.web.media": "web/test_factory.py",
    "xda.web.pages.chrome": "present/test_sums.py",
    "xda.web.pages.class_tables": "present/test_sums.py",
    "xda.web.pages.comparison.context": "web/test_templates.py",
    "xda.web.pages.error": "web/test_templates.py",
    "xda.web.pages.explanation.context": "present/test_sums.py",
    "xda.web.pages.figures": "web/pages/explanation/test_routes.py",
    "xda.web.pages.gallery.context": "web/test_templates.py",
    "xda.web.pages.help": "web/test_templates.py",
    "xda.web.pages.pair.context": "web/test_templates.py",
    "xda.web.pages.pictures": "present/test_sums.py",
    "xda.web.pages.runs.context": "web/test_templates.py",
    "xda.web.pages.training.context": "web/test_templates.py",
    "xda.web.rendering": "web/test_pages.py",
    "xda.web.urls": "web/test_templates.py",
}
"""Modules without a test file of their name, each with one that imports it (and, as ruff checks, uses it)."""


def modules() -> dict[str, Path]:
    """Return the modules by name, each with its path in the package."""
    paths = [path.relative_to(APP) for path in APP.rglob("*.py") if not path.name.startswith("__")]
    return {".".join(("xda", *path.with_suffix("").parts)): path for path in paths if "migrations" not in path.parts}


def imported(path: Path) -> set[str]:
    """Return the names that a file imports, at its top or in a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update((node.module, *(f"{node.module}.{alias.name}" for alias in node.names)))
    return names


def mirrored(path: Path) -> Path:
    return TESTS / path.parent / f"test_{path.name}"


def test_module_without_test_of_its_name_says_where_it_is_tested() -> None:
    without = {name for name, path in modules().items() if not mirrored(path).exists()}
    assert without == TESTED_IN.keys()


def test_test_that_is_named_for_a_module_imports_it() -> None:
    assert [name for name, test in TESTED_IN.items() if name not in imported(TESTS / test)] == []
