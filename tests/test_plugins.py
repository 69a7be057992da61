"""Factories in other people's modules: allowed calls, and calls that no run may reach."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import nn

from xda.errors import ConfigError
from xda.plugins import call_factory, is_from, load_factory, search_beside

MODULE = """
import os
from torch import nn

def plain(n_classes, width=2):
    return nn.Sequential(nn.Linear(4, width), nn.Linear(width, n_classes))

def other_name(num_classes):
    return nn.Linear(4, num_classes)

def without():
    return nn.Linear(4, 3)

def anything(**arguments):
    return nn.Linear(4, len(arguments))

def broken(n_classes):
    raise RuntimeError("no luck")

def wrong():
    return 7

class Network(nn.Linear):
    def __init__(self, n_classes):
        super().__init__(4, n_classes)

number = 3
system = os.system
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module of the user's own."""
    (tmp_path / "own_networks.py").write_text(MODULE)
    (tmp_path / "damaged_networks.py").write_text("import no_such_package_of_mine")
    (tmp_path / "failing_networks.py").write_text("raise OSError('no disk')")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "own_networks"
    for name in ("own_networks", "damaged_networks", "failing_networks"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("function", "arguments", "n_outputs"),
    [
        ("plain", {}, 5),
        ("plain", {"width": 3}, 5),
        ("other_name", {}, 5),
        ("without", {}, 3),
        ("anything", {"a": 1, "b": 2}, 2),
        ("Network", {}, 5),
        ("plain", {"n_classes": 6}, 6),
    ],
)
def test_factory_gets_number_of_classes_if_it_takes_it(
    module: str, function: str, arguments: dict[str, object], n_outputs: int
) -> None:
    network = call_factory(f"{module}:{function}", nn.Module, arguments, 5)
    assert list(network.parameters())[-1].shape == (n_outputs,)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("own_networks", "must be written as module:function"),
        ("own_networks:", "must be written as module:function"),
        ("own_networks:a.b", "must be written as module:function"),
        ("../own_networks:plain", "must be written as module:function"),
        ("own_networks:absent", "has no function 'absent'"),
        ("own_networks:number", "has no function 'number'"),
        ("no_such_module:network", "needs the Python module 'no_such_module'.*PYTHONPATH"),
        ("no_such.module:network", "needs the Python module 'no_such'"),
        ("damaged_networks:network", "'damaged_networks'.*No module named 'no_such_package_of_mine'"),
        ("failing_networks:network", "cannot be imported: OSError: no disk"),
        ("own_networks:broken", "failed: RuntimeError: no luck"),
        ("own_networks:wrong", "returned int, not Module"),
    ],
)
@pytest.mark.usefixtures("module")
def test_factory_errors_name_the_factory(name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        call_factory(name, nn.Module, {}, 3)


@pytest.mark.parametrize(
    "name", ["os:system", "subprocess:run", "builtins:exec", "torch:load", "own_networks:system", "PIL.Image:open"]
)
@pytest.mark.usefixtures("module")
def test_factory_of_run_must_make_networks(name: str) -> None:
    with pytest.raises(ConfigError, match="is not called"):
        load_factory(name, nn.Module)


def test_factory_class_of_installed_package_is_called() -> None:
    network = call_factory("torch.nn:Linear", nn.Module, {"in_features": 2, "out_features": 3})
    assert isinstance(network, nn.Linear)


def test_factory_declared_to_return_network_is_called() -> None:
    assert callable(load_factory("torchvision.models:resnet18", nn.Module))


def test_module_beside_configuration_is_found_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "beside_networks.py").write_text(MODULE)
    (tmp_path / "torch.py").write_text("raise RuntimeError")
    with pytest.raises(ConfigError, match="put the folder that holds it into PYTHONPATH"):
        call_factory("beside_networks:plain", nn.Module, {}, 3)
    assert search_beside(tmp_path)
    assert not search_beside(tmp_path)
    assert isinstance(call_factory("beside_networks:plain", nn.Module, {}, 3), nn.Module)
    assert is_from("beside_networks:plain", tmp_path)
    assert not is_from("torch.nn:Linear", tmp_path)
    assert not is_from("beside_networks:plain", tmp_path / "other")
    sys.modules.pop("beside_networks")


def test_module_in_current_folder_is_named_but_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here_networks.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each not in ("", ".")])
    with pytest.raises(ConfigError, match=r"'here_networks'.* in this folder, so put PYTHONPATH=\. before the command"):
        call_factory("here_networks:plain", nn.Module, {}, 3)
