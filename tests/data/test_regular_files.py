"""Tests of xda.data.regular_files: other files than plain ones, and large files, are refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xda.data.regular_files import open_regular, read_regular


def test_read_regular_refuses_pipes_devices_folders_and_large_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "large").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("large")
    for name in ("pipe", "zero", "."):
        for use in (read_regular, open_regular):
            with pytest.raises(OSError, match="not a plain file"):
                use(tmp_path / name)
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_regular(tmp_path / "large", 4)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "absent")
    assert read_regular(tmp_path / "link", 5) == b"12345"
