"""Wheel and source distribution contain everything that pages need; a build names missing files."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import pytest

import xda

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def build(folder: Path, into: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(into)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def files_of(folder: str, *, without: tuple[str, ...] = ()) -> set[str]:
    """Return the files below a folder of the repository, relative to it."""
    found = (path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob("*") if path.is_file())
    return {
        path.as_posix()
        for path in found
        if not {"node_modules", "__pycache__"} & set(path.parts) and path.suffix not in without
    }


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (ROOT / "static" / "vendor").is_dir():
        pytest.skip("static/vendor is missing; `npm ci --prefix frontend` brings it")
    into = tmp_path_factory.mktemp("dist")
    ended = build(ROOT, into)
    assert ended.returncode == 0, ended.stderr
    return into


def test_wheel_holds_all_code_templates_and_static_files(dist: Path) -> None:
    (wheel,) = dist.glob(f"dualxda_explorer-{xda.__version__}-*.whl")
    names = set(ZipFile(wheel).namelist())
    resources = {f"frontend/{name}" for name in files_of("frontend", without=(".json", ".mjs", ".ts"))}
    resources |= {f"static/{name}" for name in files_of("static")}
    expected = files_of("app/xda") | {f"_resources/{name}" for name in resources}
    assert {"cli.py", "_resources/frontend/base.html", "_resources/static/vendor/htmx.min.js"} <= expected
    assert {name.removeprefix("xda/") for name in names if name.startswith("xda/")} == expected
    rest = {PurePosixPath(name).parts[1:] for name in names if not name.startswith("xda/")}
    assert ("licenses", "LICENSE") in rest
    assert ("entry_points.txt",) in rest


def test_source_distribution_holds_what_its_build_and_tests_need(dist: Path) -> None:
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    kinds = (".md", ".toml", ".jsonc", ".py", ".lock")
    expected = {"LICENSE", "Makefile"} | {path.name for path in ROOT.iterdir() if path.suffix in kinds}
    assert {"README.md", "pyproject.toml", "requirements.lock"} <= expected
    for folder in ("app", "docs", "examples", "frontend", "static", "tests"):
        expected |= {f"{folder}/{name}" for name in files_of(folder)}
    assert expected - names == set()
    assert {name for name in names if name.startswith(("data/", "runs/", "cache/", ".venv"))} == set()


def test_build_without_vendored_files_is_refused_with_what_to_do(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "README.md", "LICENSE", "hatch_build.py"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "app" / "xda").mkdir(parents=True)
    shutil.copy(ROOT / "app" / "xda" / "version.py", tmp_path / "app" / "xda")
    (tmp_path / "static").mkdir()
    ended = build(tmp_path, tmp_path / "dist")
    assert ended.returncode != 0
    assert "static/vendor/htmx.min.js is missing" in ended.stderr
    assert "npm ci --prefix frontend" in ended.stderr
