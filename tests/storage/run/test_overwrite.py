"""A run is never written over another run; ``test_writer`` has the cases of other files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.storage.run.tiny_run import build, description, write_stages
from xda.errors import ConflictError
from xda.storage.run.folder import RunFolder
from xda.storage.run.manifest import MANIFEST_NAME
from xda.storage.run.overwrite import refuse_overwrite
from xda.storage.run.writer import RunWriter


def test_writer_keeps_run_of_another_id(run_path: Path) -> None:
    before = RunFolder.open(run_path).digest
    with pytest.raises(ConflictError, match="holds another run, 'tiny', and this one is 'other'"):
        refuse_overwrite(run_path, "other")
    with pytest.raises(ConflictError, match="another run"), RunWriter(run_path, "other"):
        pass
    assert RunFolder.open(run_path, verify=True).digest == before


def test_commit_keeps_run_of_another_id_that_appeared(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with RunWriter(out, "other") as writer:
        write_stages(writer)
        build(out.with_name("elsewhere"))[0].path.rename(out)
        with pytest.raises(ConflictError, match="another run, 'tiny'"):
            writer.commit(description().model_copy(update={"id": "other"}))
    assert RunFolder.open(out, verify=True).manifest.id == "tiny"


def test_writer_keeps_run_of_another_version(run_path: Path) -> None:
    manifest = json.loads((run_path / MANIFEST_NAME).read_bytes())
    (run_path / MANIFEST_NAME).write_text(json.dumps(manifest | {"schema_version": 99, "new": 1}))
    with pytest.raises(ConflictError, match="another run"):
        refuse_overwrite(run_path, "other")
    refuse_overwrite(run_path, "tiny")


def test_writer_keeps_unfinished_build_of_another_id(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with RunWriter(out, "tiny") as writer:
        computed = write_stages(writer)
    with pytest.raises(ConflictError, match="unfinished build of another run, 'tiny'"):
        refuse_overwrite(out, "other")
    with pytest.raises(ConflictError, match="unfinished"), RunWriter(out, "other"):
        pass
    refuse_overwrite(out, "tiny")
    assert computed
    assert not build(out)[1], "the build goes on with all its stages"
