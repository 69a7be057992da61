"""Build configurations: valid ones are read, and each error gets a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from xda.build.config import load_config
from xda.errors import ConfigError
from xda.networks.spec import NetworkSpec

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


OWN = 'preprocessing = { mode = "L", size = [8, 8], mean = [0.5], std = [0.5] }'


def write(folder: Path, content: str) -> Path:
    path = folder / "build.toml"
    path.write_text(content)
    return path


def test_config_paths_start_at_its_file_and_cs_are_sorted(tmp_path: Path) -> None:
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
        (('checkpoint = "weights/cnn.safetensors"', 'weights = "pretrained"'), "those that torchvision or timm"),
        (('preset = "mnist-cnn"', 'torchvision = "resnet18"\nweights = "V1"'), "'checkpoint' and 'weights'.* not both"),
        (
            ('preset = "mnist-cnn"\ncheckpoint = "weights/cnn.safetensors"', 'timm = "resnet18"'),
            'or weights = "pretrained" for those of its makers',
        ),
        (("[surrogate]", "[network.preprocessing]\nmeans = [0.5]\n[surrogate]"), "did you mean 'mean'"),
        (("[surrogate]", "[network.preprocessing]\nsize = [28]\n[surrogate]"), "network.preprocessing.size"),
        (("[surrogate]", "[network.preprocessing]\nsize = [28, 0]\n[surrogate]"), "network.preprocessing.size.1"),
        (("[surrogate]", '[network.preprocessing]\nmode = "CMYK"\n[surrogate]'), "network.preprocessing.mode"),
        (("[surrogate]", '[network.preprocessing]\ninterpolation = "sinc"\n[surrogate]'), "interpolation"),
        (("[surrogate]", '[network.preprocessing]\ncrop = "center"\n[surrogate]'), "'crop' needs 'resize'"),
        (('name = "mnist"', "train = 5\ntest = 6"), "'data.train': a path in quotes is needed, or a list of them"),
        (
            ("[surrogate]", '[network.preprocessing]\nmode = "L"\nstd = [1, 1, 1]\n[surrogate]'),
            "'std' has 3 .* needs 1",
        ),
        (("[surrogate]", "[network.preprocessing]\nmean = [nan]\n[surrogate]"), "mean.0' is NaN"),
    ],
)
def test_config_errors_name_the_key(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(write(tmp_path, GOOD.replace(*change)))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            ('id = "mnist-cnn"', 'id = "My Run"'),
            "key 'run.id' is \"My Run\", but must be lower-case letters, digits and hyphens, at most 63 of them, with "
            'no hyphen at the start, such as id = "my-run".',
        ),
        (('id = "mnist-cnn"', "id = 7"), "key 'run.id' is 7, but must be text in quotes, such as id = \"my-run\"."),
        (('id = "mnist-cnn"\n', ""), "key 'run.id' is missing; give it, such as id = \"my-run\"."),
        (('title = "MNIST"', 'title = ""'), "key 'run.title' is \"\", but must be text of at least 1 letters."),
        (('[data]\nname = "mnist"', ""), "the table [data] is missing; needed are [run], [data] and [network]."),
        (("[0.1, 1e-5, 0.1]", "0.1"), "key 'surrogate.c' is 0.1, but must be a list, [...], such as c = [0.001]."),
        (("[0.1, 1e-5, 0.1]", "[0]"), "key 'surrogate.c.0' is 0, but must be greater than 0, such as c = [0.001]."),
        (
            ("[surrogate]", "[network.preprocessing]\nsize = 64\n[surrogate]"),
            "key 'network.preprocessing.size' is 64, but must be a list, [...], such as size = [224, 224].",
        ),
        (
            ("[surrogate]", '[network.preprocessing]\nmode = "CMYK"\n[surrogate]'),
            'key \'network.preprocessing.mode\' is "CMYK", but must be "L" or "RGB", such as mode = "RGB".',
        ),
        (
            ('preset = "mnist-cnn"', 'factory = "a:b"'),
            "key 'network': a factory comes without a preprocessing; give mode, size, mean, std in "
            "[network.preprocessing].",
        ),
    ],
)
def test_config_error_names_found_and_allowed_value(tmp_path: Path, change: tuple[str, str], sentence: str) -> None:
    path = write(tmp_path, GOOD.replace(*change))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == f"{path}: {sentence}"


def test_config_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is empty; it needs the tables \[run\], \[data\] and \[network\]"):
        load_config(write(tmp_path, "# later\n"), c=[0.1])


def test_config_key_in_place_of_a_table_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "surrogate = 3\n" + GOOD.partition("[surrogate]")[0])
    for c in (None, [0.1]):
        with pytest.raises(ConfigError, match="'surrogate' is 3, but must be a table"):
            load_config(path, c=c)


def test_config_run_without_title_has_its_id(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, GOOD.replace('title = "MNIST"\n', ""))).run.title == "mnist-cnn"


@pytest.mark.parametrize(
    ("network", "spec"),
    [
        ('torchvision = "resnet50"\ncheckpoint = "a.pt"', NetworkSpec("resnet50", 7, "torchvision")),
        (
            'timm = "test_resnet"\ncheckpoint = "a.pt"\nhead = "fc"\narguments = { in_chans = 1 }',
            NetworkSpec("test_resnet", 7, "timm", {"in_chans": 1}, "fc"),
        ),
        ('timm = "resnet18"\nweights = "pretrained"', NetworkSpec("resnet18", 7, "timm", weights="pretrained")),
        (f'factory = "package.module:function"\n{OWN}', NetworkSpec("package.module:function", 7, "factory")),
    ],
)
def test_config_each_kind_of_network_becomes_its_spec(tmp_path: Path, network: str, spec: NetworkSpec) -> None:
    lines = 'preset = "mnist-cnn"\ncheckpoint = "weights/cnn.safetensors"'
    table = load_config(write(tmp_path, GOOD.replace(lines, network))).network
    assert table.spec(7) == spec
    assert table.checkpoint in (None, tmp_path / "a.pt")


def test_config_absolute_and_home_paths_are_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    for given, expected in (("/weights/x.pt", "/weights/x.pt"), ("~/x.pt", "/home/somebody/x.pt")):
        config = load_config(write(tmp_path, GOOD.replace("weights/cnn.safetensors", given)))
        assert config.network.checkpoint == Path(expected)


def test_config_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(tmp_path / "binary.toml")
