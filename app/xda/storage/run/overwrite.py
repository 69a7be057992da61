"""Refuses to write a run over other files and other runs."""

from __future__ import annotations

import json
import os
from pathlib import Path

from xda.errors import ConflictError
from xda.storage.run.build_state import BuildState
from xda.storage.run.layout import NETWORK
from xda.storage.run.manifest import MANIFEST_NAME
from xda.storage.run.swap import building_path


def refuse_overwrite(path: Path, run_id: str) -> None:
    """Refuse to write a run over something else, finished or half built.

    Parameters
    ----------
    path : Path
        Folder of the new run.
    run_id : str
        Id of the new run. A run of the same id is an earlier version and may be replaced; so may a damaged one.

    Raises
    ------
    ConflictError
        The path holds a file, a folder that is not a run (``--out ~`` must not destroy a home folder), a run of another
        id, or an unfinished build of one.
    """
    if path.exists():
        inside = {entry.name for entry in os.scandir(path)} if path.is_dir() else {"a file"}
        if inside and not {MANIFEST_NAME, NETWORK} <= inside:
            raise ConflictError(f"{path} exists and is not a run folder. Choose another folder, or remove it first.")
        found = _id_of_run(path)
        if found not in (None, run_id):
            raise ConflictError(
                f"{path} holds another run, '{found}', and this one is '{run_id}'. Choose another folder, or remove "
                "that run first."
            )
    building = building_path(path)
    found = _id_of_build(building)
    if found not in (None, run_id):
        raise ConflictError(
            f"{building} holds an unfinished build of another run, '{found}', and this one is '{run_id}'. Choose "
            "another folder, go on with that build, or remove it first."
        )


def _id_of_run(path: Path) -> str | None:
    """Return the id in a manifest of any version; None if it cannot be read."""
    try:
        manifest = json.loads((path / MANIFEST_NAME).read_bytes())
    except (OSError, ValueError):
        return None
    found = manifest.get("id") if isinstance(manifest, dict) else None
    return found if isinstance(found, str) else None


def _id_of_build(building: Path) -> str | None:
    try:
        return BuildState.load(building).run_id or None
    except (OSError, ValueError):
        return None
