"""Functions of other people's modules, named ``module:function`` in a configuration or a run.

A run names the factory of its network, so a run from elsewhere would decide what is called when it is opened. Hence
only modules that whoever opens it has named are imported (``refuse_unnamed``); a build trusts its configuration.
Modules are found as Python finds them (installed, or in ``PYTHONPATH``), never in the current folder; a build looks
beside its configuration too, but no run says where its module is to be looked for. And of modules that belong to Python
or to installed packages only what is declared to return what is asked for is called, without arguments that bring
weights, so that no run can reach, say, ``os:system``, or a download.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import sysconfig
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from xda.errors import ConfigError

_CLASSES = ("n_classes", "num_classes")
"""Parameters that take the number of classes, in the order in which they are looked for."""

_BRINGING = frozenset(
    {
        *("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_backbone", "checkpoint_path"),
        *("weights", "weights_backbone", "cache_dir", "url", "hf_hub_id", "pretrained_model_args", "file"),
    }
)
"""Arguments with which functions of installed packages load or download weights."""

PACKAGES = frozenset({"site-packages", "dist-packages"})
"""Folders of installed packages, wherever they are."""

Made = TypeVar("Made")


def import_function(name: str) -> Callable[..., Any]:
    """Import what a configuration names, which is as much to be trusted as whoever wrote it.

    Parameters
    ----------
    name : str
        ``module:function``, or ``module:Class``.

    Returns
    -------
    Callable

    Raises
    ------
    ConfigError
        If there is no such module or function, or importing it fails; the message names it.
    """
    module_name, function = _parts(name)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise ConfigError(
                f"The factory '{name}' needs the Python module '{error.name}', which cannot be imported here; "
                f"{_where_to_find(error.name)}."
            ) from None
        raise ConfigError(f"The module '{module_name}' of the factory '{name}' cannot be imported: {error}.") from None
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"The module '{module_name}' of the factory '{name}' cannot be imported: {type(error).__name__}: {error}."
        ) from error
    made = getattr(module, function, None)
    if not callable(made):
        raise ConfigError(f"The module '{module_name}' has no function '{function}'; correct the factory '{name}'.")
    function_or_class: Callable[..., Any] = made
    return function_or_class


def _parts(name: str) -> tuple[str, str]:
    module, _, function = name.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), function)):
        raise ConfigError(f"The factory '{name}' must be written as module:function, such as 'package.model:network'.")
    return module, function


def module_of(name: str) -> str:
    """Return the module of a factory ``module:function``; ConfigError if it is not written so."""
    return _parts(name)[0]


def refuse_unnamed(name: str, allowed: Sequence[str], *, kept: bool = False) -> None:
    """Refuse a factory that a run names where nobody here has named its module; nothing is imported.

    Parameters
    ----------
    name : str
        ``module:function``.
    allowed : sequence of str
        Modules; a package stands for all modules in it.
    kept : bool
        Whether the module travels in the run.

    Raises
    ------
    ConfigError
        The message says how the module is allowed.
    """
    module, _ = _parts(name)
    if not any(module == each or module.startswith(f"{each}.") for each in allowed):
        raise ConfigError(
            f"Its factory '{name}' is code {'that came with' if kept else 'outside of'} the run, which runs only where "
            f"you name its module: add `--allow-factory {module}` if you trust it and this run."
        )


def search_beside(folder: Path) -> bool:
    """Let the modules in a folder be found in this process, after all others.

    Parameters
    ----------
    folder : Path
        Of a configuration.

    Returns
    -------
    bool
        Whether this is new; False where they were found before.
    """
    path = str(folder.resolve())
    found = {str(Path(each).resolve()) for each in sys.path}
    if path not in found:
        sys.path.append(path)
    return path not in found


def is_from(name: str, folder: Path) -> bool:
    """Whether the module of a factory, which has been imported, lies in a folder."""
    file = getattr(sys.modules.get(name.partition(":")[0]), "__file__", None)
    return file is not None and folder.resolve() in Path(file).resolve().parents


def load_factory(name: str, kind: type) -> Callable[..., Any]:
    """Import a factory that a run may name, which need not be trusted.

    Parameters
    ----------
    name : str
        ``module:function``, or ``module:Class``.
    kind : type
        What it makes, such as ``torch.nn.Module``.

    Returns
    -------
    Callable

    Raises
    ------
    ConfigError
        As ``import_function``; or if it is not one that may be called.
    """
    made = import_function(name)
    if not (_makes(made, kind) or _is_own_code(made)):
        raise ConfigError(
            f"The factory '{name}' belongs to an installed package and is not declared to return a {kind.__name__}, so "
            f"it is not called; annotate what it returns, or wrap it in a function of your own."
        )
    return made


def call_factory(name: str, kind: type[Made], arguments: Mapping[str, Any], n_classes: int | None = None) -> Made:
    """Call a factory.

    Parameters
    ----------
    name : str
        ``module:function``.
    kind : type
        What it must return.
    arguments : mapping
        Keyword arguments.
    n_classes : int, optional
        Passed as ``n_classes`` or ``num_classes`` where the factory takes one of these.

    Raises
    ------
    ConfigError
        As ``load_factory``; or if the call fails or returns something else.
    """
    made = load_factory(name, kind)
    if not _is_own_code(made) and (bringing := _BRINGING & arguments.keys()):
        raise ConfigError(
            f"The factory '{name}' belongs to an installed package, so it is not given '{min(bringing)}', which may "
            "bring weights from elsewhere; those come from the checkpoint. Wrap it in a function of your own."
        )
    given = dict(arguments)
    if n_classes is not None:
        taken = [key for key in _CLASSES if key in _parameters(made)]
        given = dict.fromkeys(taken[:1], n_classes) | given
    try:
        result = made(**given)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"The factory '{name}' failed: {type(error).__name__}: {error}.") from error
    if not isinstance(result, kind):
        raise ConfigError(f"The factory '{name}' returned {type(result).__name__}, not {kind.__name__}; correct it.")
    return result


def _where_to_find(module: str) -> str:
    path = module.replace(".", "/")
    if Path(f"{path}.py").is_file() or Path(path).is_dir():
        return "it is in this folder, so put PYTHONPATH=. before the command"
    return "install it, or put the folder that holds it into PYTHONPATH"


def _parameters(made: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(made).parameters
    except (TypeError, ValueError):
        return {}


def _makes(made: Callable[..., Any], kind: type) -> bool:
    """Whether a factory is a class of this kind, or declared to return one."""
    if inspect.isclass(made):
        return issubclass(made, kind)
    try:
        declared = typing.get_type_hints(made).get("return")
    except Exception:
        return False
    return inspect.isclass(declared) and issubclass(declared, kind)


def _is_own_code(made: Callable[..., Any]) -> bool:
    """Whether a factory is defined outside of Python and of what is installed beside it."""
    module = sys.modules.get(getattr(made, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    if file is None:
        return False
    path = Path(file).resolve()
    python = {Path(folder).resolve() for key, folder in sysconfig.get_paths().items() if key.endswith("lib")}
    return python.isdisjoint(path.parents) and PACKAGES.isdisjoint(path.parts)
