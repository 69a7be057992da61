"""Tests of xda.data.known.clothing: a few images of each class stand for all of them, nothing is downloaded."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections import Counter
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torchvision.datasets.utils

from tests.bars import make_split
from xda.data.known import clothing, registry
from xda.errors import DataError
from xda.progress import silent

REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "clothing.tar"
MIRROR = {"train": 3, "validation": 1, "test": 1}
"""Images of each class in an imitation of GitHub's archive."""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expect three and two images of each class; the download fails unless a test says else."""

    def offline(url: str, root: str, filename: str) -> None:
        raise URLError("no network")

    monkeypatch.setattr(clothing, "COUNTS", {"train": (3,) * 10, "test": (2,) * 10})
    monkeypatch.setattr(torchvision.datasets.utils, "download_url", offline)


def archive(counts: dict[str, int], *, prefix: str = "", mode: str = "w", seed: int = 0) -> bytes:
    """Return an archive of bars, each file with a name of its own, in an order that is not that of the names."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as tar:  # type: ignore[call-overload]
        for split, count in counts.items():
            images = make_split(count, seed, size=(40, 30, 3))
            for name in reversed(clothing.CLASSES):
                for i in range(count):
                    member = tarfile.TarInfo(f"{prefix}{split}/{name}/{split}-{i}.jpg")
                    data = images.encoded(i)
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def serve(monkeypatch: pytest.MonkeyPatch, content: bytes) -> list[str]:
    """Let the download bring an archive; returns the addresses that are asked for."""
    asked: list[str] = []

    def download(url: str, root: str, filename: str) -> None:
        asked.append(url)
        Path(root).mkdir(parents=True, exist_ok=True)
        (Path(root) / filename).write_bytes(content)

    monkeypatch.setattr(torchvision.datasets.utils, "download_url", download)
    return asked


@pytest.mark.usefixtures("small")
def test_both_sources_give_the_same_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand, fetched = tmp_path / "hand", tmp_path / "fetched"
    by_hand.mkdir()
    (by_hand / "clothing.tar").write_bytes(archive({"train": 3, "test": 2}))
    content = archive(MIRROR, prefix="clothing-dataset-small-d91/", mode="w:gz")
    asked = serve(monkeypatch, content)
    for folder in (by_hand, fetched):
        registry.fetch("clothing", folder, silent)
        dataset = registry.load("clothing", folder)
        assert (dataset.name, dataset.classes) == ("clothing", clothing.CLASSES)
        assert dataset.train.labels.tolist() == np.repeat(np.arange(10), 3).tolist()
        assert dataset.test.labels.tolist() == np.repeat(np.arange(10), 2).tolist()
        registry.fetch("clothing", folder, silent)
    assert asked == [clothing.URL]
    names = [dataset.test.source.origin(i) for i in range(2)]
    assert names == ["test/dress/test-0.jpg", "test/dress/validation-0.jpg"]
    assert {path.name for path in by_hand.iterdir()} == {"clothing", "clothing.tar", ".clothing-checked"}
    assert {path.name for path in fetched.iterdir()} == {"clothing", clothing.DIGEST, ".clothing-checked"}
    assert (fetched / clothing.DIGEST).read_text().strip() == hashlib.sha256(content).hexdigest()


@pytest.mark.usefixtures("small")
def test_second_download_of_another_archive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, archive(MIRROR, prefix="top/", mode="w:gz"))
    registry.fetch("clothing", tmp_path, silent)
    (tmp_path / "clothing").rename(tmp_path / "away")
    serve(monkeypatch, archive(MIRROR, prefix="top/", mode="w:gz", seed=1))
    with pytest.raises(
        DataError, match=r"that of the first download with .*remove .clothing-sha256 from the data folder"
    ):
        registry.fetch("clothing", tmp_path, silent)
    assert not (tmp_path / "clothing").exists()
    (tmp_path / clothing.DIGEST).unlink()
    registry.fetch("clothing", tmp_path, silent)
    assert (tmp_path / "clothing").exists()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("content", [b"no archive" * 100, archive({"train": 3}, mode="w:gz"), b""])
def test_download_of_something_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    serve(monkeypatch, content)
    with pytest.raises(DataError, match=r"Clothing could not be fetched from GitHub .*Put clothing\.tar"):
        registry.fetch("clothing", tmp_path, silent)
    assert not (tmp_path / "clothing").exists()
    serve(monkeypatch, archive(MIRROR, prefix="top/", mode="w:gz"))
    registry.fetch("clothing", tmp_path, silent)


@pytest.mark.usefixtures("small")
def test_without_any_source_the_message_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"GitHub \(<urlopen error no network>\)\. Put clothing\.tar"):
        registry.fetch("clothing", tmp_path / "data", silent)
    with pytest.raises(DataError, match="run `xda data clothing`"):
        registry.load("clothing", tmp_path)


@pytest.mark.slow
def test_real_archive_has_3781_sound_photographs(tmp_path: Path) -> None:
    if not REAL.is_file():
        pytest.skip("clothing.tar is not beside this checkout")
    (tmp_path / "clothing.tar").symlink_to(REAL)
    registry.fetch("clothing", tmp_path, silent)
    dataset = registry.load("clothing", tmp_path)
    assert (len(dataset.train), len(dataset.test)) == (3068, 713)
    assert not dataset.train.left_out
    assert not dataset.test.left_out
    counted = Counter(dataset.train.labels.tolist())
    assert [counted[k] for k in range(10)] == list(clothing.COUNTS["train"])
