"""Build configurations: what is read, and how each mistake is answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from xda.errors import ConfigError
from xda.services.config import load_config
from xda.vision.networks import NetworkSpec

GOOD = """
[run]
id = "mnist-cnn"
title = "MNIST"
[data]
name = "mnist"
[network]
preset = "mnist-cnn"
checkpoint = "weights/cnn.safetensors"
[surrogate]
c = [0.1, 1e-5, 0.1]
"""


def write(folder: Path, content: str) -> Path:
    path = folder / "build.toml"
    path.write_text(content)
    return path


def test_paths_are_relative_to_the_file_and_cs_are_sorted(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, GOOD))
    assert config.network.checkpoint == tmp_path / "weights" / "cnn.safetensors"
    assert config.surrogate.c == (1e-5, 0.1)
    assert load_config(tmp_path / "build.toml", c=[0.5]).surrogate.c == (0.5,)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("[data]", "[date]"), "'data'"),
        (("c = [", "C = ["), "'surrogate.C'"),
        (("1e-5", "-1"), "surrogate.c.1"),
        (("1e-5", "nan"), "surrogate.c.1"),
        (("[0.1, 1e-5, 0.1]", "[]"), "surrogate.c"),
        (('id = "mnist-cnn"', 'id = "../x"'), "run.id"),
        (("[run]", "[run"), "not valid TOML"),
        (("[data]", "[date]"), "'date' is unknown; did you mean 'data'"),
        (("c = [", "C = ["), "did you mean 'c'"),
        (("c = [", "folds = ["), "known are: c, tol, intercept"),
        (('preset = "mnist-cnn"', 'preset = "mnist-cnn"\ntorchvison = "x"'), "did you mean 'torchvision'"),
        (('preset = "mnist-cnn"', ""), "exactly one of preset, torchvision, timm, factory is needed, not none"),
        (('preset = "mnist-cnn"', 'preset = "a"\ntimm = "b"'), "not preset and timm"),
        (('preset = "mnist-cnn"', 'preset = "a"\narguments = {width = 2}'), "a preset takes no 'arguments'"),
        (('checkpoint = "weights/cnn.safetensors"', ""), "'checkpoint' is needed"),
        (("[surrogate]", "[network.preprocessing]\nmeans = [0.5]\n[surrogate]"), "did you mean 'mean'"),
        (("[surrogate]", "[network.preprocessing]\nsize = [28]\n[surrogate]"), "network.preprocessing.size"),
        (("[surrogate]", "[network.preprocessing]\nsize = [28, 0]\n[surrogate]"), "network.preprocessing.size.1"),
        (("[surrogate]", '[network.preprocessing]\nmode = "CMYK"\n[surrogate]'), "network.preprocessing.mode"),
        (("[surrogate]", '[network.preprocessing]\ninterpolation = "sinc"\n[surrogate]'), "interpolation"),
        (("[surrogate]", '[network.preprocessing]\ncrop = "center"\n[surrogate]'), "'crop' needs 'resize'"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(write(tmp_path, GOOD.replace(*change)))


@pytest.mark.parametrize(
    ("network", "spec"),
    [
        ('torchvision = "resnet50"\ncheckpoint = "a.pt"', NetworkSpec("resnet50", 7, "torchvision")),
        (
            'timm = "test_resnet"\ncheckpoint = "a.pt"\nhead = "fc"\narguments = { in_chans = 1 }',
            NetworkSpec("test_resnet", 7, "timm", {"in_chans": 1}, "fc"),
        ),
        ('factory = "package.module:function"', NetworkSpec("package.module:function", 7, "factory")),
    ],
)
def test_each_kind_of_network_becomes_its_spec(tmp_path: Path, network: str, spec: NetworkSpec) -> None:
    lines = 'preset = "mnist-cnn"\ncheckpoint = "weights/cnn.safetensors"'
    table = load_config(write(tmp_path, GOOD.replace(lines, network))).network
    assert table.spec(7) == spec
    assert table.checkpoint in (None, tmp_path / "a.pt")


def test_an_absolute_path_stays_and_one_at_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    for given, expected in (("/weights/x.pt", "/weights/x.pt"), ("~/x.pt", "/home/somebody/x.pt")):
        config = load_config(write(tmp_path, GOOD.replace("weights/cnn.safetensors", given)))
        assert config.network.checkpoint == Path(expected)


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(tmp_path / "binary.toml")
