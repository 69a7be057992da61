"""Tests of xda.data.checking."""

from __future__ import annotations

import os
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import pytest

from tests.data.image_files import BAD, GOOD
from xda.data.checking import examine, examine_files, for_people

LONG_AGO = 1_500_000_000


def write(folder: Path, files: dict[str, bytes]) -> list[str]:
    """Write files that look old enough for their verdicts to be kept."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
        os.utime(folder / name, (LONG_AGO, LONG_AGO))
    return [str(folder / name) for name in files]


class Reader:
    """Reads files of one image each and records their names."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def __call__(self, path: str) -> Iterable[bytes | None]:
        self.read.append(Path(path).name)
        yield Path(path).read_bytes()


def test_examine_returns_the_hash_and_the_problem() -> None:
    data = GOOD["photo.jpg"]()
    assert examine(data).sha256 == sha256(data).digest()
    assert examine(data).problem == ""
    assert "truncated" in examine(BAD["truncated.jpg"][0]()).problem
    assert examine(None).problem == "there are no bytes"


def test_examine_files_twice_reads_only_files_that_changed(tmp_path: Path) -> None:
    good = GOOD["grey.png"]()
    paths = write(tmp_path / "images", {"a.png": good, "b.png": b"", "c.png": good})
    kept = tmp_path / "cache" / "kept.parquet"
    first = examine_files(paths, Reader(), kept=kept)
    again = Reader()
    assert examine_files(paths, again, kept=kept) == first
    assert again.read == []
    assert [bool(each[0].problem) for each in first] == [False, True, False]

    (tmp_path / "images" / "b.png").write_bytes(GOOD["colour.png"]())
    changed = Reader()
    assert examine_files(paths, changed, kept=kept)[1][0].problem == ""
    assert changed.read == ["b.png"]
    # the file changed just now and may change again within the clock's resolution
    later = Reader()
    examine_files(paths, later, kept=kept)
    assert later.read == ["b.png"]


def test_examine_files_with_a_damaged_cache_examines_again(tmp_path: Path) -> None:
    paths = write(tmp_path / "images", {"a.png": GOOD["grey.png"]()})
    kept = tmp_path / "kept.parquet"
    expected = examine_files(paths, Reader(), kept=kept)
    kept.write_bytes(b"damaged")
    reader = Reader()
    assert examine_files(paths, reader, kept=kept) == expected
    assert reader.read == ["a.png"]
    assert examine_files([], Reader(), kept=tmp_path / "none.parquet") == []


def test_examine_files_after_a_change_of_pillow_examines_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import PIL

    paths = write(tmp_path / "images", {"a.png": GOOD["grey.png"]()})
    examine_files(paths, Reader(), kept=tmp_path / "kept.parquet")
    monkeypatch.setattr(PIL, "__version__", "0.1")
    reader = Reader()
    examine_files(paths, reader, kept=tmp_path / "kept.parquet")
    assert reader.read == ["a.png"]


def test_examine_files_with_many_images_each_keeps_them_in_order(tmp_path: Path) -> None:
    paths = write(tmp_path, {"one": b"1", "two": b"2"})
    images: dict[str, list[bytes | None]] = {
        paths[0]: [GOOD["grey.png"](), None] * 90,
        paths[1]: [b"", GOOD["photo.jpg"]()] * 70,
    }
    found = examine_files(paths, images.__getitem__, kept=tmp_path / "kept.parquet")
    assert [[bool(v.problem) for v in each] for each in found] == [[False, True] * 90, [True, False] * 70]
    assert examine_files(paths, lambda path: [], kept=tmp_path / "kept.parquet") == found


def test_examine_files_counts_an_unreadable_file_as_one_bad_image(tmp_path: Path) -> None:
    ((verdict,),) = examine_files([str(tmp_path / "none.png")], Reader(), kept=tmp_path / "kept.parquet")
    assert verdict.problem == "it cannot be read: No such file or directory"


def test_examine_files_with_a_name_that_is_no_text_does_not_keep_its_verdict(tmp_path: Path) -> None:
    strange = os.fsdecode(b"caf\xe9.png")
    paths = write(tmp_path / "images", {strange: GOOD["grey.png"](), "b.png": GOOD["grey.png"]()})
    for expected in ([strange, "b.png"], [strange]):
        reader = Reader()
        examine_files(paths, reader, kept=tmp_path / "kept.parquet")
        assert reader.read == expected
    assert for_people(paths[0]).endswith("caf\\udce9.png")


def test_examine_files_progress_ends_with_all_files(tmp_path: Path) -> None:
    paths = write(tmp_path, {f"{k}.png": GOOD["grey.png"]() for k in range(3)})
    told: list[tuple[str, int, int]] = []
    examine_files(paths, Reader(), progress=lambda *step: told.append(step), stage="Looking")
    assert told[-1] == ("Looking", 3, 3)


def test_for_people_escapes_control_characters_and_line_breaks(tmp_path: Path) -> None:
    assert for_people("a\x1b[31m\n\u202e.png") == "a\\x1b[31m\\n\\u202e.png"
    assert for_people(os.fsdecode(b"caf\xe9.png")) == "caf\\udce9.png"
    assert for_people("ü é 日本.png") == "ü é 日本.png"
