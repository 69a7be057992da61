"""A catalog of several runs, one of them broken."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from xda.errors import NotFoundError, RunError
from xda.explanation.catalog import Catalog


def test_catalog_with_broken_run_serves_the_others(run_path: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(run_path, tmp_path / "broken"))
    target = broken / "test" / "features.npy"
    content = bytearray(target.read_bytes())
    content[-1] ^= 1
    target.write_bytes(content)
    catalog = Catalog.open_paths([broken, run_path, run_path, tmp_path / "absent"], "cpu")
    try:
        assert catalog.ready == (True, "")
        assert catalog.get("digits").explain(0).test.index == 0
        assert set(catalog.refused) == {"broken", "digits", "absent"}
        with pytest.raises(RunError, match=r"test/features\.npy"):
            catalog.get("broken")
        with pytest.raises(NotFoundError, match="served runs: digits"):
            catalog.get("other")
        digest = catalog.get("digits").digest
        assert catalog.by_digest(digest[:16]).id == "digits"
        for prefix in (digest[:15], "0" * 16, ""):
            with pytest.raises(NotFoundError):
                catalog.by_digest(prefix)
    finally:
        catalog.close()


def test_catalog_without_runs_is_not_ready(tmp_path: Path) -> None:
    catalog = Catalog.open_paths([tmp_path / "absent"], "cpu")
    ready, reason = catalog.ready
    assert not ready
    assert "absent" in reason
    catalog.close()
