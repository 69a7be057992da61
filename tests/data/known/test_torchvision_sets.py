"""Tests of xda.data.known.torchvision_sets: small files in torchvision's own formats, read by its own code."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torchvision
from numpy.typing import NDArray
from PIL import Image

from tests.data.image_files import GOOD
from xda.data.dataset import ArraySource, ImageDataset, ImageSplit
from xda.data.known import registry, torchvision_sets
from xda.data.known.fashion_mnist import _idx
from xda.errors import ConfigError, DataError
from xda.progress import silent


def noise(n: int, *shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, *shape)).astype(np.uint8)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def images(split: ImageSplit) -> NDArray[np.uint8]:
    return np.stack([np.asarray(Image.open(io.BytesIO(data))) for data in split.all_encoded()])


def write_kmnist(root: Path, train: NDArray[np.uint8], test: NDArray[np.uint8]) -> None:
    raw = root / "KMNIST" / "raw"
    raw.mkdir(parents=True)
    for which, pixels in (("train", train), ("t10k", test)):
        (raw / f"{which}-images-idx3-ubyte").write_bytes(_idx(pixels))
        (raw / f"{which}-labels-idx1-ubyte").write_bytes(_idx(np.arange(len(pixels), dtype=np.uint8) % 10))


def write_cifar100(root: Path, train: NDArray[np.uint8], test: NDArray[np.uint8], patch: pytest.MonkeyPatch) -> None:
    """Write the pickles of CIFAR-100 and tell torchvision their checksums."""
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    names = [f"class {k}" for k in range(100)]
    contents: dict[str, Any] = {"meta": {"fine_label_names": names}}
    for split, pixels in (("train", train), ("test", test)):
        flat = np.moveaxis(pixels, -1, 1).reshape(len(pixels), -1)
        contents[split] = {"data": flat, "fine_labels": [k % 100 for k in range(len(pixels))]}
    for name, content in contents.items():
        (folder / name).write_bytes(pickle.dumps(content))
    cls = torchvision.datasets.CIFAR100
    patch.setattr(cls, "train_list", [["train", md5(folder / "train")]])
    patch.setattr(cls, "test_list", [["test", md5(folder / "test")]])
    patch.setattr(cls, "meta", {**cls.meta, "md5": md5(folder / "meta")})


def write_svhn(root: Path, train: NDArray[np.uint8], test: NDArray[np.uint8], patch: pytest.MonkeyPatch) -> None:
    root.mkdir(parents=True)
    splits = {}
    for split, pixels in (("train", train), ("test", test)):
        path = root / f"{split}_32x32.mat"
        # digits go from 1 to 10, ten standing for zero
        labels = (np.arange(len(pixels)) % 10 + 1).astype(np.uint8)[:, None]
        scipy.io.savemat(path, {"X": np.moveaxis(pixels, 0, -1), "y": labels})
        splits[split] = ["", path.name, md5(path)]
    patch.setattr(torchvision.datasets.SVHN, "split_list", splits)


def test_load_of_a_grey_set_gives_torchvisions_images(tmp_path: Path) -> None:
    train, test = noise(20, 28, 28), noise(10, 28, 28, seed=1)
    write_kmnist(tmp_path / "torchvision", train, test)
    dataset = registry.load("KMNIST", tmp_path)
    assert dataset.title == "Kuzushiji-MNIST"
    assert dataset.classes == tuple(torchvision.datasets.KMNIST.classes)
    assert dataset.train.labels.tolist() == [k % 10 for k in range(20)]
    assert isinstance(dataset.train.source, ArraySource)
    np.testing.assert_array_equal(images(dataset.train), train)
    np.testing.assert_array_equal(images(dataset.test), test)


def test_load_of_a_colour_set_gives_torchvisions_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = noise(200, 32, 32, 3), noise(100, 32, 32, 3, seed=1)
    write_cifar100(tmp_path / "torchvision", train, test, monkeypatch)
    dataset = registry.load("CIFAR-100", tmp_path)
    assert dataset.classes[7] == "class 7"
    assert dataset.train.labels.tolist() == [k % 100 for k in range(200)]
    np.testing.assert_array_equal(images(dataset.train), train)
    np.testing.assert_array_equal(images(dataset.test), test)
    registry.fetch("cifar100", tmp_path, silent)  # it is there, so fetch does nothing and needs no network


def test_load_of_a_channels_first_set_gives_torchvisions_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = noise(20, 32, 32, 3), noise(10, 32, 32, 3, seed=1)
    write_svhn(tmp_path / "torchvision", train, test, monkeypatch)
    dataset = registry.load("svhn", tmp_path)
    assert dataset.classes == tuple("0123456789")
    assert dataset.train.labels.tolist()[8:11] == [9, 0, 1]
    np.testing.assert_array_equal(images(dataset.train), train)


def test_load_of_a_set_of_files_keeps_the_files_as_they_are(tmp_path: Path) -> None:
    data = GOOD["photo.jpg"]()
    for split, n in (("train", 2), ("val", 1)):
        for wnid in torchvision.datasets.Imagenette._WNID_TO_CLASS:
            for number in range(n):
                path = tmp_path / "torchvision" / "imagenette2" / split / wnid / f"{number}.JPEG"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
    dataset = registry.load("imagenette", tmp_path)
    assert (len(dataset.train), len(dataset.test)) == (20, 10)
    assert dataset.classes[:2] == ("tench", "English springer")
    assert dataset.train.encoded(3) == data


def test_load_of_an_absent_set_says_how_to_fetch_it(tmp_path: Path) -> None:
    for name in torchvision_sets.SETS:
        with pytest.raises(DataError, match=f"run `xda data {name}`"):
            registry.load(name, tmp_path)


@pytest.mark.parametrize("name", ["cifar100", "emnist-letters"])
def test_fetch_with_a_failing_download_says_where_the_files_belong(name: str, tmp_path: Path) -> None:
    """The real download, whose first connection is refused: there is no network in tests."""
    with pytest.raises(DataError, match=r"could not be fetched by torchvision .*Put the files of") as caught:
        registry.fetch(name, tmp_path, silent)
    assert str(tmp_path / "torchvision") in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_known_sets_are_classes_of_torchvision_with_these_options() -> None:
    import inspect

    for known in torchvision_sets.SETS.values():
        lineage = getattr(torchvision.datasets, known.cls).__mro__
        # a class that takes **kwargs hands them to its base
        named = {name for cls in lineage for name in inspect.signature(cls.__init__).parameters}
        assert {*known.train, *known.test, "download"} <= named, known.cls


def test_load_with_empty_classes_leaves_them_out() -> None:
    split = ImageSplit(np.array([1, 3]), "", ArraySource(noise(2, 4, 4)))
    dataset = ImageDataset("x", "X", ("N/A", "a", "b", "c"), split, split)
    compact = torchvision_sets._without_empty_classes(dataset)
    assert compact.classes == ("a", "c")
    assert compact.train.labels.tolist() == [0, 1]


@pytest.mark.parametrize(("name", "known"), [("FashionMNIST", "fashion-mnist"), ("cifar_100", "cifar100")])
def test_canonical_accepts_other_spellings_of_a_name(name: str, known: str) -> None:
    assert registry.canonical(name) == known
    with pytest.raises(ConfigError, match="known are: mnist, fashion-mnist, cifar10, clothing, cifar100"):
        registry.canonical("imagenet22k")


def test_load_of_a_set_of_files_twice_checks_each_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for split, n in (("train", 2), ("val", 1)):
        for wnid in torchvision.datasets.Imagenette._WNID_TO_CLASS:
            for number in range(n):
                path = tmp_path / "torchvision" / "imagenette2" / split / wnid / f"{number}.JPEG"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"" if (split, wnid, number) == ("train", "n01440764", 1) else GOOD["photo.jpg"]())
                os.utime(path, (1_500_000_000, 1_500_000_000))
    first = registry.load("imagenette", tmp_path)
    assert len(first.train) == 19
    assert [Path(each.name).name for each in first.left_out] == ["1.JPEG"]
    monkeypatch.setattr("xda.data.image_folders.read_regular", lambda path: pytest.fail(f"{path} is read again"))
    assert registry.load("imagenette", tmp_path).train.fingerprint == first.train.fingerprint
