"""Tests of xda.networks.checkpoints: the product's own files, and the many forms of other programs' files."""

from __future__ import annotations

import argparse
import collections
import itertools
import os
import re
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from xda.errors import DataError
from xda.networks.checkpoints import fill_weights, load_weights, pack, read_checkpoint, read_metadata, save_weights
from xda.networks.spec import NetworkSpec, build_network


def fresh() -> nn.Module:
    torch.manual_seed(1)
    return build_network(NetworkSpec("mnist-cnn", 10))


def assert_same(network: nn.Module, other: nn.Module, case: str = "") -> None:
    for name, value in network.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), (case, name)


def test_weights_saved_and_loaded_are_equal(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "weights.safetensors"
    save_weights(network, path, {"note": "of a test"})
    other = build_network(NetworkSpec("mnist-cnn", 10))
    load_weights(other, path)
    for name, value in network.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
    assert read_metadata(path) == {"note": "of a test"}


def test_save_weights_twice_writes_the_same_bytes(network: nn.Module, tmp_path: Path) -> None:
    save_weights(network, tmp_path / "a", {"x": "1", "y": "2", "z": "3"})
    save_weights(network, tmp_path / "b", {"x": "1", "y": "2", "z": "3"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_weights_of_another_network_are_refused_with_both_sides(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(network, path)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(DataError, match=r"0 tensor\(s\) missing, 0 unexpected, 2 of another shape \(first: '11"):
        load_weights(build_network(NetworkSpec("mnist-cnn", 7)), path)
    with pytest.raises(DataError, match="do not belong to this network"):
        load_weights(build_network(NetworkSpec("cifar10-resnet18", 10)), path)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_load_weights_missing_or_damaged_is_refused(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    with pytest.raises(DataError, match="are missing"):
        load_weights(network, path)
    assert read_metadata(path) == {}
    save_weights(network, path, {"note": "x"})
    for content in (b"", b"junk" * 100, path.read_bytes()[:5000]):
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot be read"):
            load_weights(network, path)
        assert read_metadata(path) == {}


def test_state_dict_under_any_key_prefix_and_suffix_is_read(network: nn.Module, tmp_path: Path) -> None:
    keys = ("", "state_dict", "model_state_dict", "model", "net", "network", "generator")
    prefixes = ("", "module.", "_orig_mod.", "model.", "module._orig_mod.")
    for key, prefix, suffix in itertools.product(keys, prefixes, ("pt", "pth", "bin")):
        state = {prefix + name: value for name, value in network.state_dict().items()}
        path = tmp_path / f"{key}-{prefix}.{suffix}"
        torch.save({key: state, "epoch": 3} if key else state, path)
        other = fresh()
        load_weights(other, path)
        assert_same(network, other, path.name)


def test_read_checkpoint_in_the_old_format_of_torch_is_read(network: nn.Module, tmp_path: Path) -> None:
    torch.save(network.state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    other = fresh()
    load_weights(other, tmp_path / "old.pt")
    assert_same(network, other)


def test_checkpoint_with_another_suffix_is_read_by_its_content(network: nn.Module, tmp_path: Path) -> None:
    safetensors.torch.save_file(network.state_dict(), tmp_path / "weights.pt")
    torch.save(network.state_dict(), tmp_path / "weights.safetensors")
    for name in ("weights.pt", "weights.safetensors"):
        other = fresh()
        load_weights(other, tmp_path / name)
        assert_same(network, other)


def test_half_precision_weights_fill_a_float_network(network: nn.Module, tmp_path: Path) -> None:
    torch.save({name: value.half() for name, value in network.state_dict().items()}, tmp_path / "half.pt")
    other = fresh()
    load_weights(other, tmp_path / "half.pt")
    assert next(other.parameters()).dtype == torch.float32
    torch.testing.assert_close(next(other.parameters()), next(network.parameters()), rtol=1e-3, atol=1e-4)


def test_load_weights_without_the_batch_counter_is_accepted(tmp_path: Path) -> None:
    network = build_network(NetworkSpec("cifar10-resnet18", 3))
    state = {n: v for n, v in network.state_dict().items() if not n.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "old.pt")
    other = build_network(NetworkSpec("cifar10-resnet18", 3))
    load_weights(other, tmp_path / "old.pt")
    assert_same(network, other)


def test_read_checkpoint_of_a_pickled_module_is_refused_with_the_remedy(network: nn.Module, tmp_path: Path) -> None:
    torch.save(network, tmp_path / "module.pt")
    with pytest.raises(DataError, match=r"pickled object.*Sequential.*would run code.*torch\.save\(model\.state_dict"):
        read_checkpoint(tmp_path / "module.pt")


def test_read_checkpoint_runs_no_code_of_a_pickle(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "trapped",))

    for modern in (True, False):
        torch.save({"state_dict": Trap()}, tmp_path / "trap.pt", _use_new_zipfile_serialization=modern)
        with pytest.raises(DataError, match="pickled object"):
            read_checkpoint(tmp_path / "trap.pt")
    assert not (tmp_path / "trapped").exists()


class Own:
    """A class that a training program may define."""


BESIDE: list[object] = [
    np.float64(0.5),
    np.float32(0.5),
    np.int64(3),
    np.bool_(True),
    np.str_("best"),
    np.arange(4.0),
    np.random.RandomState(0).get_state(),
    argparse.Namespace(lr=0.1, out=Path("runs"), deep=argparse.Namespace(n=None), sizes=(1, 2)),
    torch.optim.Adam(nn.Linear(2, 2).parameters()).state_dict(),
    collections.OrderedDict(best=np.float64(1.0)),
]


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("beside", BESIDE, ids=lambda value: type(value).__name__)
def test_checkpoint_with_arguments_and_scores_of_a_training_is_read(
    network: nn.Module, tmp_path: Path, beside: object, modern: bool
) -> None:
    content = {"args": beside, "net": network.state_dict(), "epoch": 3}
    torch.save(content, tmp_path / "x.pt", _use_new_zipfile_serialization=modern)
    other, allowed = fresh(), set(torch.serialization.get_safe_globals())
    load_weights(other, tmp_path / "x.pt")
    assert_same(network, other)
    assert set(torch.serialization.get_safe_globals()) == allowed


def test_checkpoint_written_with_numpy_1_is_read(network: nn.Module, tmp_path: Path) -> None:
    torch.save({"net": network.state_dict(), "best": np.float64(0.5)}, tmp_path / "new.pt")
    with zipfile.ZipFile(tmp_path / "new.pt") as new, zipfile.ZipFile(tmp_path / "old.pt", "w") as old:
        for name in new.namelist():
            old.writestr(name, new.read(name).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
        assert b"numpy._core" in new.read("new/data.pkl")
    other = fresh()
    load_weights(other, tmp_path / "old.pt")
    assert_same(network, other)


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize(
    ("beside", "name"),
    [
        (Own(), "tests.networks.test_checkpoints.Own"),
        (nn.ReLU(), "torch.nn.modules.activation.ReLU"),
        (collections.defaultdict(list), "collections.defaultdict"),
        (print, "print"),
        ([argparse.Namespace(deep=Own())], "tests.networks.test_checkpoints.Own"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_checkpoint_with_another_class_is_refused_by_its_name(
    network: nn.Module, tmp_path: Path, beside: object, name: str, modern: bool
) -> None:
    content = {"net": network.state_dict(), "args": beside}
    torch.save(content, tmp_path / "x.pt", _use_new_zipfile_serialization=modern)
    words = rf"pickled object of the class {re.escape(name)}, not only tensors.*torch\.save\(model\.state_dict"
    with pytest.raises(DataError, match=words):
        read_checkpoint(tmp_path / "x.pt")


def test_checkpoint_with_several_state_dicts_is_refused_with_their_names(network: nn.Module, tmp_path: Path) -> None:
    state = network.state_dict()
    torch.save({"generator": state, "critic": state, "epoch": 1}, tmp_path / "x.pt")
    with pytest.raises(DataError, match="hold 2 state dicts, 'generator', 'critic', and none of them is called"):
        read_checkpoint(tmp_path / "x.pt")


def test_read_checkpoint_of_a_torchscript_archive_is_refused_with_the_remedy(
    network: nn.Module, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(network, torch.zeros(1, 1, 28, 28)), tmp_path / "script.pt")  # type: ignore[no-untyped-call]
    with pytest.raises(DataError, match="TorchScript archive"):
        read_checkpoint(tmp_path / "script.pt")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1, 2], "a 'list', not a state dict"),
        ({}, "a 'dict', not a state dict"),
        ({"epoch": 3, "weights": {"a": torch.zeros(1), "b": 2}}, "'epoch', which is not a tensor"),
    ],
)
def test_checkpoint_without_state_dict_is_refused(content: object, reason: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(DataError, match=reason):
        read_checkpoint(tmp_path / "x.pt")


@pytest.mark.parametrize("content", [b"PK\x03\x04 no archive", b"\x80\x02no pickle"])
def test_read_checkpoint_of_a_damaged_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.pt"):
        read_checkpoint(tmp_path / "x.pt")


def test_load_weights_of_other_shapes_names_both(network: nn.Module, tmp_path: Path) -> None:
    torch.save(network.state_dict(), tmp_path / "x.pt")
    with pytest.raises(DataError, match=r"\(10,\) in the file and \(7,\) in the network.*number of classes"):
        load_weights(build_network(NetworkSpec("mnist-cnn", 7)), tmp_path / "x.pt")


def test_save_weights_with_tied_weights_writes_them_twice() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    network[1].weight = network[0].weight
    content = pack(network.state_dict(), {})
    other = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    other[1].weight = other[0].weight
    fill_weights(other, content, "weights")
    assert_same(network, other)


@pytest.mark.slow
def test_load_weights_of_torchvisions_densenet_files_fits(tmp_path: Path) -> None:
    spec = NetworkSpec("densenet121", 3, "torchvision")
    network, other = build_network(spec), build_network(spec)
    state = network.state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name): value for name, value in state.items()}
    assert old.keys() != state.keys()
    torch.save(old, tmp_path / "densenet121.pth")
    load_weights(other, tmp_path / "densenet121.pth")
    assert_same(network, other)


def test_load_weights_without_auxiliary_heads_names_the_argument(tmp_path: Path) -> None:
    without = build_network(NetworkSpec("googlenet", 3, "torchvision", {"aux_logits": False}))
    torch.save(without.state_dict(), tmp_path / "googlenet.pt")
    with pytest.raises(DataError, match="aux_logits = false"):
        load_weights(build_network(NetworkSpec("googlenet", 3, "torchvision")), tmp_path / "googlenet.pt")
    load_weights(without, tmp_path / "googlenet.pt")


def test_read_checkpoint_of_a_named_pipe_or_device_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    for path in (tmp_path / "pipe.pt", Path("/dev/zero")):
        with pytest.raises(DataError, match=r"cannot be read .it is not a plain file"):
            read_checkpoint(path)
