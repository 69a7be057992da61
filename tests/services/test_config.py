"""Build configurations: what is read, and how each mistake is answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from xda.errors import ConfigError
from xda.services.config import load_config

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
    ],
)
def test_mistakes_are_named(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(write(tmp_path, GOOD.replace(*change)))


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(tmp_path / "binary.toml")
