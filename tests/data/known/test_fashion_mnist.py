"""Tests of xda.data.known.fashion_mnist: three sources, two possible splits, and the title that names the split."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from xda.data.known import fashion_mnist, registry
from xda.errors import DataError
from xda.progress import Progress, silent

N_TRAIN, N_TEST = 6, 4
"""Images of each class in the tests' small files."""


def pixels(n: int, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (n, 28, 28)).astype(np.uint8)


@pytest.fixture
def contents(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Replace the published files by small ones; torchvision and npm fail unless a test replaces them."""
    files = {}
    for which, n in (("train", N_TRAIN), ("t10k", N_TEST)):
        labels = np.repeat(np.arange(10, dtype=np.uint8), n)
        files[f"{which}-images-idx3-ubyte"] = fashion_mnist._idx(pixels(10 * n, n))
        files[f"{which}-labels-idx1-ubyte"] = fashion_mnist._idx(labels)
    zipped = {name: gzip.compress(content, mtime=0) for name, content in files.items()}
    sums = {name: hashlib.md5(data, usedforsecurity=False).hexdigest() for name, data in zipped.items()}
    monkeypatch.setattr(fashion_mnist, "FILES", sums)
    monkeypatch.setattr(fashion_mnist, "PER_CLASS", {"train": N_TRAIN, "t10k": N_TEST})

    def fail(data_dir: Path, progress: Progress) -> fashion_mnist.Contents:
        raise RuntimeError("no network here")

    monkeypatch.setattr(fashion_mnist, "_from_torchvision", fail)
    monkeypatch.setattr(fashion_mnist, "npm_pack", lambda *arguments: fail(*arguments[1:]))
    return files


@pytest.fixture
def package(contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Write an npm package like the real one, with its stray empty entries."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for k in range(10):
            images = [image.ravel().tolist() for image in pixels(N_TRAIN + N_TEST, 100 + k)]
            listed = [*images[:N_TEST], [], *images[N_TEST:], []] if k == 0 else images
            data = json.dumps({"data": listed}).encode()
            member = tarfile.TarInfo(f"package/src/clothes/{k}.json")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))

    @contextlib.contextmanager
    def pack(name: str, data_dir: Path, progress: Progress) -> Iterator[tarfile.TarFile]:
        assert name == "fashion-mnist@1.1.0"
        archive.seek(0)
        with tarfile.open(fileobj=archive) as tar:
            yield tar

    monkeypatch.setattr(fashion_mnist, "npm_pack", pack)
    made: list[str] = []
    real = fashion_mnist._digest

    def first_digest(files: fashion_mnist.Contents) -> str:
        made.append(real(files))
        monkeypatch.setattr(fashion_mnist, "NPM_SHA256", made[0])
        return real(files)

    monkeypatch.setattr(fashion_mnist, "_digest", first_digest)


def test_fetch_with_published_files_in_the_data_folder_takes_them_first(
    tmp_path: Path, contents: dict[str, bytes]
) -> None:
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in contents.items():
        (raw / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
    registry.fetch("fashion-mnist", tmp_path, silent)
    dataset = registry.load("fashion-mnist", tmp_path)
    assert dataset.title == "Fashion-MNIST (published split)"
    assert dataset.classes[9] == "Ankle boot"
    assert (len(dataset.train), len(dataset.test)) == (10 * N_TRAIN, 10 * N_TEST)
    registry.fetch("fashion-mnist", tmp_path, silent)


def test_fetch_beside_mnist_files_of_the_same_names_refuses_them(tmp_path: Path, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content[:-1] + b"x", mtime=0))
    with pytest.raises(DataError, match=r"the data folder: train-images-idx3-ubyte is not there; torchvision's"):
        registry.fetch("fashion-mnist", tmp_path, silent)


@pytest.mark.usefixtures("package")
def test_fetch_from_the_package_splits_by_class_and_the_title_says_so(tmp_path: Path) -> None:
    registry.fetch("fashion-mnist", tmp_path, silent)
    dataset = registry.load("fashion-mnist", tmp_path)
    assert "npm fashion-mnist@1.1.0, first 1,000 of each class as test images" in dataset.title
    assert np.bincount(dataset.train.labels).tolist() == [N_TRAIN] * 10
    assert np.bincount(dataset.test.labels).tolist() == [N_TEST] * 10
    assert dataset.train.labels[:11].tolist() == [*range(10), 0]
    test = dataset.test.source.pixels(np.arange(10 * N_TEST))
    train = dataset.train.source.pixels(np.arange(10 * N_TRAIN))
    assert test is not None
    assert train is not None
    for k in range(10):
        own = pixels(N_TRAIN + N_TEST, 100 + k)
        np.testing.assert_array_equal(test[k::10], own[:N_TEST])
        np.testing.assert_array_equal(train[k::10], own[N_TEST:])


@pytest.mark.usefixtures("package")
def test_fetch_after_damage_mends_the_files_from_a_source(tmp_path: Path) -> None:
    registry.fetch("fashion-mnist", tmp_path, silent)
    before = registry.load("fashion-mnist", tmp_path)
    victim = tmp_path / "fashion-mnist" / "train-images-idx3-ubyte"
    victim.write_bytes(victim.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match=r"differs from the fetched file; run `xda data fashion-mnist`"):
        registry.load("fashion-mnist", tmp_path)
    registry.fetch("fashion-mnist", tmp_path, silent)
    assert registry.load("fashion-mnist", tmp_path).train.fingerprint == before.train.fingerprint
    victim.unlink()
    with pytest.raises(DataError, match="is missing"):
        registry.load("fashion-mnist", tmp_path)


@pytest.mark.usefixtures("package")
def test_fetch_beside_files_of_our_own_split_does_not_call_them_published(tmp_path: Path) -> None:
    registry.fetch("fashion-mnist", tmp_path, silent)
    (tmp_path / "fashion-mnist" / "source.json").unlink()
    registry.fetch("fashion-mnist", tmp_path, silent)
    assert "npm" in registry.load("fashion-mnist", tmp_path).title


@pytest.mark.usefixtures("package")
def test_fetch_of_a_package_with_other_images_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "_digest", lambda contents: "another")
    with pytest.raises(DataError, match="does not hold the images that it is known to hold"):
        registry.fetch("fashion-mnist", tmp_path, silent)
    assert not (tmp_path / "fashion-mnist").exists()


def test_fetch_with_other_numbers_of_images_is_refused(tmp_path: Path, contents: dict[str, bytes]) -> None:
    folder = tmp_path / "fashion-mnist"
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(fashion_mnist._idx(np.zeros(10 * N_TEST, dtype=np.uint8)))
    with pytest.raises(DataError, match="do not hold 4 images of each of the 10 classes"):
        registry.fetch("fashion-mnist", tmp_path, silent)


def test_split_by_class_is_fixed_and_stratified() -> None:
    images = {k: np.zeros((7000, 1), dtype=np.uint8) for k in range(10)}
    train, test = fashion_mnist.split_by_class(images)
    assert (len(train), len(test)) == (60_000, 10_000)
    assert sorted(map(tuple, [*train.tolist(), *test.tolist()])) == [(k, i) for k in range(10) for i in range(7000)]
    assert test[:, 1].max() == 999
    assert np.bincount(test[:, 0]).tolist() == [1000] * 10
