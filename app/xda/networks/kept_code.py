"""The source of a factory's module: a build collects it into the run, and opening the run imports it from memory.

A module that Python finds on this machine wins over the run's copy, so that the name of your own module never runs
somebody else's code. Python knows a run's modules only while the run's network is made: two runs may have modules of
the same name.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from xda.data.regular_files import read_regular
from xda.errors import ConfigError
from xda.plugins import PACKAGES, module_of

MOST_FILES = 500
MOST_BYTES = 1 << 22
"""Largest size of all files together, in bytes."""

_importing = threading.RLock()


def collect(factory: str) -> dict[str, bytes]:
    """Return the source files of a factory's module or package by relative path.

    Parameters
    ----------
    factory : str
        ``module:function``, imported already.

    Returns
    -------
    dict of str to bytes
        Example: ``{"my_project/__init__.py": …, "my_project/models.py": …}``. Links and other files than ``.py`` are
        left out.

    Raises
    ------
    ConfigError
        If the module is not one of your own, or its files are too many or too large.
    """
    top = module_of(factory).partition(".")[0]
    module = sys.modules[top]
    places = list(getattr(module, "__path__", []))
    file = Path(places[0]) if len(places) == 1 else Path(getattr(module, "__file__", None) or "")
    if len(places) > 1 or not (places or file.suffix == ".py") or not PACKAGES.isdisjoint(file.resolve().parts):
        raise ConfigError(
            f"keep_code cannot keep '{top}': it is not your own module or package with its .py files in one place. "
            "Leave keep_code out; whoever opens the run installs it."
        )
    paths = sorted(file.rglob("*.py")) if places else [file]
    names = {f"{top}/{path.relative_to(file).as_posix()}" if places else f"{top}.py": path for path in paths}
    plain = {name: path for name, path in names.items() if _is_importable(name) and _is_plain(path, file)}
    if len(plain) > MOST_FILES:
        raise ConfigError(f"keep_code would keep {len(plain):,} files of '{top}', more than {MOST_FILES}.")
    code: dict[str, bytes] = {}
    left = MOST_BYTES
    for name, path in plain.items():
        try:
            code[name] = read_regular(path, left)
        except OSError as error:
            raise ConfigError(
                f"keep_code cannot keep '{top}': {path} cannot be read ({error.strerror}); all its files may have "
                f"{MOST_BYTES // 2**20} MiB."
            ) from error
        left -= len(code[name])
    return code


def _is_importable(name: str) -> bool:
    """Whether a file is a module that can be imported, under a name that a run folder can hold."""
    parts = name.removesuffix(".py").split("/")
    return len(parts) < 8 and all(part.isidentifier() and part.isascii() and len(part) < 90 for part in parts)


def _is_plain(path: Path, top: Path) -> bool:
    inside = [path, *(parent for parent in path.parents if top in parent.parents)]
    return path.is_file() and not any(each.is_symlink() for each in inside)


@contextmanager
def importable(factory: str, code: Mapping[str, bytes]) -> Iterator[None]:
    """Within the block, let Python import a factory's module from a run's code if it finds it nowhere else.

    Parameters
    ----------
    factory : str
        ``module:function``, which whoever opens the run has allowed.
    code : mapping of str to bytes
        From ``collect``; empty where the run keeps none.
    """
    top = module_of(factory).partition(".")[0]
    if not code or _is_here(top):
        yield
        return
    with _importing:
        finder = _KeptCode(top, code)
        sys.meta_path.insert(0, finder)
        try:
            yield
        finally:
            sys.meta_path.remove(finder)
            for name in [name for name in sys.modules if name == top or name.startswith(f"{top}.")]:
                del sys.modules[name]


def _is_here(top: str) -> bool:
    try:
        return importlib.util.find_spec(top) is not None
    except ValueError:
        return True  # like __main__, the module does not tell its file


class _KeptCode(importlib.abc.MetaPathFinder, importlib.abc.ExecutionLoader):
    """Imports the modules below one name from files in memory."""

    def __init__(self, top: str, files: Mapping[str, bytes]) -> None:
        self._top = top
        self._files = files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the import specification of a module of the run; None for every other module."""
        if fullname.partition(".")[0] != self._top:
            return None
        if self._file(fullname) is not None:
            return importlib.util.spec_from_loader(fullname, self, is_package=self.is_package(fullname))
        if any(name.startswith(f"{fullname.replace('.', '/')}/") for name in self._files):
            folder = ModuleSpec(fullname, None, is_package=True)
            folder.submodule_search_locations = []
            return folder
        return None

    def _file(self, fullname: str) -> str | None:
        place = fullname.replace(".", "/")
        return next((name for name in (f"{place}/__init__.py", f"{place}.py") if name in self._files), None)

    def is_package(self, fullname: str) -> bool:
        """Whether a module is a package."""
        return (self._file(fullname) or "").endswith("/__init__.py")

    def get_filename(self, fullname: str) -> str:
        """Return a module's path in the run for tracebacks."""
        return f"code/{self._file(fullname)}"

    def get_source(self, fullname: str) -> str:
        """Return the source of a module."""
        return importlib.util.decode_source(self._files[self._file(fullname) or ""])
