"""The lifetime of a static file's answer: a year under its hash, revalidated otherwise."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest

from xda.web.http.conditional import IMMUTABLE, REVALIDATE
from xda.web.http.static_files import SHORTEST_HASH, HashedStaticFiles

CONTENT = b"body { color: teal }"
HASH = sha256(CONTENT).hexdigest()


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    path = tmp_path / "base.css"
    path.write_bytes(CONTENT)
    return path


def lifetime(files: HashedStaticFiles, path: Path, query: str) -> str:
    scope = {"type": "http", "method": "GET", "headers": [], "query_string": query.encode()}
    return files.file_response(path, path.stat(), scope).headers["cache-control"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (f"v={HASH}", IMMUTABLE),
        (f"v={HASH[:SHORTEST_HASH]}", IMMUTABLE),
        (f"v={HASH[: SHORTEST_HASH - 1]}", REVALIDATE),
        (f"v={HASH[1:13]}", REVALIDATE),
        (f"w={HASH}", REVALIDATE),
        ("v=", REVALIDATE),
        ("", REVALIDATE),
    ],
)
def test_file_is_immutable_only_under_its_hash(sheet: Path, query: str, expected: str) -> None:
    assert lifetime(HashedStaticFiles(sheet.parent), sheet, query) == expected


def test_changed_file_has_another_hash(sheet: Path) -> None:
    files = HashedStaticFiles(sheet.parent)
    assert lifetime(files, sheet, f"v={HASH}") == IMMUTABLE
    sheet.write_bytes(CONTENT[::-1])
    os.utime(sheet, ns=(1, 1))
    assert lifetime(files, sheet, f"v={HASH}") == REVALIDATE
    assert lifetime(files, sheet, f"v={sha256(CONTENT[::-1]).hexdigest()}") == IMMUTABLE
