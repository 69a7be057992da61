"""Factories in other people's modules, named ``module:function`` in a configuration or a run.

A run names the factory of its network, so a run from elsewhere could choose the code that runs when somebody opens it.
Three rules prevent that:

* A run's module is imported only if the person who opens the run has named it (``refuse_unnamed``). A build trusts its
  configuration.
* Python finds modules as usual (installed, or in ``PYTHONPATH``), never in the current folder. A build also searches
  the folder of its configuration, but a run cannot say where its module is.
* A function of Python itself or of an installed package is called only if it is declared to return the wanted type, and
  never with arguments that bring weights. So no run can reach ``os:system`` or a download.
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
"""Names of the parameter for the number of classes; the first that a factory has is used."""

_BRINGING = frozenset(
    {
        *("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_backbone", "checkpoint_path"),
        *("weights", "weights_backbone", "cache_dir", "url", "hf_hub_id", "pretrained_model_args", "file"),
    }
)
"""Arguments that make functions of installed packages load or download weights."""

PACKAGES = frozenset({"site-packages", "dist-packages"})
"""Names of folders that hold installed packages."""

Made = TypeVar("Made")


def import_function(name: str) -> Callable[..., Any]:
    """Import a function that a configuration names; the configuration is trusted.

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
        The module or function does not exist, or its import fails; the message names it.
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
    """Return the module of a factory ``module:function``; raise ConfigError for any other form."""
    return _parts(name)[0]


def refuse_unnamed(name: str, allowed: Sequence[str], *, kept: bool = False) -> None:
    """Refuse a run's factory unless its module is allowed; import nothing.

    Parameters
    ----------
    name : str
        ``module:function``.
    allowed : sequence of str
        Allowed modules; a package includes all modules in it.
    kept : bool
        Whether the run contains the module.

    Raises
    ------
    ConfigError
        The module is not allowed; the message says how to allow it.
    """
    module, _ = _parts(name)
    if not any(module == each or module.startswith(f"{each}.") for each in allowed):
        raise ConfigError(
            f"Its factory '{name}' is code {'that came with' if kept else 'outside of'} the run, which runs only where "
            f"you name its module: add `--allow-factory {module}` if you trust it and this run."
        )


def search_beside(folder: Path) -> bool:
    """Let this process import modules from a folder, after all other places.

    Parameters
    ----------
    folder : Path
        The folder of a configuration.

    Returns
    -------
    bool
        Whether the folder was added now.
    """
    path = str(folder.resolve())
    found = {str(Path(each).resolve()) for each in sys.path}
    if path not in found:
        sys.path.append(path)
    return path not in found


def is_from(name: str, folder: Path) -> bool:
    """Tell whether the module of a factory, already imported, lies in a folder."""
    file = getattr(sys.modules.get(name.partition(":")[0]), "__file__", None)
    return file is not None and folder.resolve() in Path(file).resolve().parents


def load_factory(name: str, kind: type) -> Callable[..., Any]:
    """Import a factory that a run names; the run is not trusted.

    Parameters
    ----------
    name : str
        ``module:function``, or ``module:Class``.
    kind : type
        The type that it must return, such as ``torch.nn.Module``.

    Returns
    -------
    Callable

    Raises
    ------
    ConfigError
        As for ``import_function``; also if the factory must not be called.
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
        The type that it must return.
    arguments : mapping
        Keyword arguments.
    n_classes : int, optional
        Passed as ``n_classes`` or ``num_classes`` if the factory takes one of these.

    Raises
    ------
    ConfigError
        As for ``load_factory``; also if the call fails or returns another type.
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
    """Tell whether a factory is a class of this type, or declared to return one."""
    if inspect.isclass(made):
        return issubclass(made, kind)
    try:
        declared = typing.get_type_hints(made).get("return")
    except Exception:
        return False
    return inspect.isclass(declared) and issubclass(declared, kind)


def _is_own_code(made: Callable[..., Any]) -> bool:
    """Tell whether a factory is defined outside of Python and of installed packages."""
    module = sys.modules.get(getattr(made, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    if file is None:
        return False
    path = Path(file).resolve()
    python = {Path(folder).resolve() for key, folder in sysconfig.get_paths().items() if key.endswith("lib")}
    return python.isdisjoint(path.parents) and PACKAGES.isdisjoint(path.parts)
