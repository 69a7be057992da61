"""The state of a build between two starts: finished stages, and the progress of unfinished ones."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from xda.atomic import replacing
from xda.storage.run.manifest import Count, FileEntry, RelativePath

STATE_NAME = ".build-state.json"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FinishedStage(_Part):
    """A group of files that are on the disk."""

    inputs: str
    """Fingerprint of all its inputs."""
    files: dict[RelativePath, FileEntry]


class ArrayForm(_Part):
    """Shape and type in the header of a ``.npy`` file."""

    dtype: str
    """NumPy type string such as ``<f4``."""
    shape: tuple[Count, ...]


class UnfinishedStage(_Part):
    """A stage whose arrays are filled batch by batch."""

    inputs: str
    files: dict[RelativePath, ArrayForm]
    done: Count = 0
    """Number of rows of each array on the disk."""


class BuildState(BaseModel):
    """All stages of a build; stored beside their files."""

    model_config = ConfigDict(extra="forbid", strict=True)

    run_id: str = ""
    """Id of the run; empty in the state of an earlier version."""
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
        """Write the state into a building folder, durably.

        Raises
        ------
        OSError
            It cannot be written; the old state stays.
        """
        with replacing(folder / STATE_NAME) as file:
            file.write(self.model_dump_json(indent=1).encode())

    def writers(self, name: str) -> tuple[str, ...]:
        """Return the stages, finished or not, that wrote a file."""
        return tuple(
            stage for group in (self.stages, self.unfinished) for stage, part in group.items() if name in part.files
        )

    def forget(self, stage: str) -> bool:
        """Forget a stage; return whether it was known."""
        known = [group.pop(stage, None) for group in (self.stages, self.unfinished)]
        return any(part is not None for part in known)
