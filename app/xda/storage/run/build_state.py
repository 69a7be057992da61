"""What a build remembers between two starts: its finished stages, and how far unfinished ones have come."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from xda.atomic import replacing
from xda.storage.run.manifest import Count, FileEntry, RelativePath

STATE_NAME = ".build-state.json"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FinishedStage(_Part):
    """A group of files that is on the disk."""

    inputs: str
    """Fingerprint of all that it was computed from."""
    files: dict[RelativePath, FileEntry]


class ArrayForm(_Part):
    """What the header of a ``.npy`` file says."""

    dtype: str
    """NumPy type string such as ``<f4``."""
    shape: tuple[Count, ...]


class UnfinishedStage(_Part):
    """A stage whose arrays are filled batch by batch."""

    inputs: str
    files: dict[RelativePath, ArrayForm]
    done: Count = 0
    """Rows of each array that are on the disk."""


class BuildState(BaseModel):
    """All stages of a build; kept beside their files."""

    model_config = ConfigDict(extra="forbid", strict=True)

    run_id: str = ""
    """Id of the run that is built; empty in what an earlier version left."""
    stages: dict[str, FinishedStage] = {}
    unfinished: dict[str, UnfinishedStage] = {}

    @classmethod
    def load(cls, folder: Path) -> BuildState:
        """Read the state in a building folder.

        Raises
        ------
        OSError
            There is none.
        ValueError
            It is damaged.
        """
        return cls.model_validate_json((folder / STATE_NAME).read_bytes())

    def save(self, folder: Path) -> None:
        """Replace the state in a building folder; it is on the disk when this returns.

        Raises
        ------
        OSError
            It cannot be written; the old state stays.
        """
        with replacing(folder / STATE_NAME) as file:
            file.write(self.model_dump_json(indent=1).encode())

    def writers(self, name: str) -> tuple[str, ...]:
        """Return the stages, finished or not, to which a file belongs."""
        return tuple(
            stage for group in (self.stages, self.unfinished) for stage, part in group.items() if name in part.files
        )

    def forget(self, stage: str) -> bool:
        """Drop all that is known of a stage; return whether there was anything."""
        known = [group.pop(stage, None) for group in (self.stages, self.unfinished)]
        return any(part is not None for part in known)
