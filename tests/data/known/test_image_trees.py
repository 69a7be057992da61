"""Tests of xda.data.known.image_trees: archives of a tiny data set, sound and hostile."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tests.bars import make_split
from xda.data.known import image_trees
from xda.data.known.image_trees import ImageTree
from xda.errors import DataError
from xda.progress import Progress, silent

TREE = ImageTree(
    name="tiny",
    title="Tiny",
    counts={"train": {"cat": 2, "dog": 1}, "test": {"cat": 1, "dog": 1}},
    source="nowhere",
    splits={"train": "train", "validation": "test", "test": "test"},
)
WHOLE = ["train/cat/1.jpg", "train/cat/2.jpg", "train/dog/1.JPG", "validation/cat/1.png", "test/dog/1.jpg"]


def members(names: list[str]) -> list[tuple[tarfile.TarInfo, bytes]]:
    data = make_split(1, 0, size=(8, 8, 3)).encoded(0)
    made = [(tarfile.TarInfo(name), data) for name in names]
    for member, content in made:
        member.size = len(content)
    return made


def write(path: Path, names: list[str], *more: tarfile.TarInfo, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for member, content in members(names):
            tar.addfile(member, io.BytesIO(content))
        for member in more:
            tar.addfile(member, io.BytesIO(bytes(min(member.size, 1000))) if member.isreg() else None)
    return path


def no_download(staging: Path, folder: Path, progress: Progress) -> None:
    raise RuntimeError("no network")


def test_archive_below_a_folder_of_its_own_gives_the_same_tree(tmp_path: Path) -> None:
    other = ["README.md", "top/train/cat/._1.jpg", "top/train/cat/note.txt", "top/train/bird/1.jpg"]
    archives = [
        write(tmp_path / "a.tar", WHOLE),
        write(tmp_path / "b.tar.gz", [f"./top-main/{name}" for name in WHOLE] + other, mode="w:gz"),
    ]
    for archive in archives:
        image_trees.unpack(TREE, archive, tmp_path / archive.stem, silent)
        assert TREE.is_whole(tmp_path / archive.stem)
    found = [sorted(str(p.relative_to(tmp_path / a.stem)) for p in (tmp_path / a.stem).rglob("*")) for a in archives]
    assert found[0] == found[1]
    assert "test/cat/1.png" in found[0]
    assert len(found[0]) == 5 + 4 + 2


def test_archive_that_leads_out_of_the_folder_writes_nothing_there(tmp_path: Path) -> None:
    names = ["../../train/cat/1.jpg", "/train/cat/2.jpg", "train/../1.jpg", "train/cat/..", *WHOLE[2:]]
    write(tmp_path / "tiny.tar", names)
    image_trees.fetch(TREE, tmp_path, no_download, silent)
    assert {path.name for path in tmp_path.iterdir()} == {"tiny", "tiny.tar"}
    assert {path.name for path in (tmp_path / "tiny" / "train" / "cat").iterdir()} == {"1.jpg", "2.jpg"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_link_or_device_in_place_of_an_image_is_refused(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("train/cat/3.jpg")
    member.type, member.linkname = kind, "/etc/passwd"
    write(tmp_path / "tiny.tar", WHOLE, member)
    with pytest.raises(DataError, match="no regular file"):
        image_trees.fetch(TREE, tmp_path, no_download, silent)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.tar"]


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "tiny.tar", [*WHOLE, "test/cat/1.png"])
    with pytest.raises(DataError, match=r"two images are called test/cat/1\.png"):
        image_trees.fetch(TREE, tmp_path, no_download, silent)


@pytest.mark.parametrize("limit", ["MOST_MEMBERS", "MOST_MEMBER_BYTES", "MOST_BYTES"])
def test_archive_beyond_a_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    write(tmp_path / "tiny.tar", WHOLE)
    monkeypatch.setattr(image_trees, limit, 4)
    with pytest.raises(DataError, match="more than Tiny can"):
        image_trees.fetch(TREE, tmp_path, no_download, silent)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.tar"]


def test_download_that_fails_keeps_its_staging_folder(tmp_path: Path) -> None:
    def broken(staging: Path, folder: Path, progress: Progress) -> None:
        staging.mkdir()
        raise EOFError

    with pytest.raises(DataError, match=r"from nowhere \(EOFError\)\. Put tiny\.tar"):
        image_trees.fetch(TREE, tmp_path, broken, silent)
    assert [path.name for path in tmp_path.iterdir()] == [".tiny-download"]
