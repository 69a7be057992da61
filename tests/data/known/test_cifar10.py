"""Tests of xda.data.known.cifar10: a few images of each class stand for all of them, nothing is downloaded."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torchvision
from PIL import Image

from tests.bars import make_split
from xda.data.known import cifar10, registry
from xda.errors import DataError
from xda.progress import silent


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expect three and one image of each class; torchvision's download fails unless a test replaces it."""

    def offline(root: str, **options: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(cifar10, "PER_CLASS", {"train": 3, "test": 1})
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", offline)


def write_archive(path: Path, counts: dict[str, int]) -> None:
    with tarfile.open(path, "w") as tar:
        for split, count in counts.items():
            images = make_split(count, 0, size=(32, 32, 3))
            for name in cifar10.CLASSES:
                for i in range(count):
                    member = tarfile.TarInfo(f"{split}/{name}/{i:04d}.jpg")
                    data = images.encoded(i)
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))


def test_fetch_with_an_archive_in_the_data_folder_unpacks_it(tmp_path: Path) -> None:
    write_archive(tmp_path / "cifar10.tar", cifar10.PER_CLASS)
    last = {}
    registry.fetch("cifar10", tmp_path, lambda stage, done, total: last.update({stage: (done, total)}))
    assert last == {"Unpacking CIFAR-10": (40, 40)}
    dataset = registry.load("cifar10", tmp_path)
    assert (dataset.name, dataset.classes) == ("cifar10", cifar10.CLASSES)
    assert dataset.train.labels.tolist() == sorted(list(range(10)) * 3)
    assert dataset.test.labels.tolist() == list(range(10))
    assert {path.name for path in tmp_path.iterdir()} == {"cifar10", "cifar10.tar", ".cifar10-checked"}
    registry.fetch("cifar10", tmp_path, silent)


def test_fetch_from_torchvision_writes_images_losslessly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 32, 32, 3)).astype(np.uint8)

    def download(root: str, *, train: bool, download: bool) -> list[tuple[Image.Image, int]]:
        assert download
        return [(Image.fromarray(image), i % 10) for i, image in enumerate(images[: 30 if train else 10])]

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", download)
    registry.fetch("cifar10", tmp_path, silent)
    dataset = registry.load("cifar10", tmp_path)
    stored = np.asarray(Image.open(io.BytesIO(dataset.train.encoded(3 * 4 + 1))))
    np.testing.assert_array_equal(stored, images[14])


@pytest.mark.parametrize("counts", [{"train": 3, "test": 2}, {"train": 3}, {}])
def test_fetch_with_an_archive_of_something_else_is_refused(tmp_path: Path, counts: dict[str, int]) -> None:
    write_archive(tmp_path / "cifar10.tar", counts)
    with pytest.raises(DataError, match="images are missing"):
        registry.fetch("cifar10", tmp_path, silent)
    assert [path.name for path in tmp_path.iterdir()] == ["cifar10.tar"]


def test_fetch_with_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cifar10.tar").write_bytes(b"no archive" * 100)
    with pytest.raises(DataError, match=r"cifar10\.tar \(.*Put cifar10\.tar"):
        registry.fetch("cifar10", tmp_path, silent)


def test_fetch_without_any_source_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"torchvision \(<urlopen error no network>\)\. Put cifar10\.tar"):
        registry.fetch("cifar10", tmp_path / "data", silent)
    with pytest.raises(DataError, match="run `xda data cifar10`"):
        registry.load("cifar10", tmp_path)


def test_fetch_beside_a_folder_of_something_else_leaves_it_alone(tmp_path: Path) -> None:
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="move it away"):
        registry.fetch("cifar10", tmp_path, silent)
    assert (tmp_path / "cifar10" / "mine.txt").exists()
