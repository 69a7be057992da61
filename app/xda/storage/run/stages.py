"""The stages of a build: groups of files, each with the fingerprint of its inputs.

A stage is recorded when its files are on the disk; a later start skips it if the fingerprint is the same. A stage with
arrays that grow batch by batch continues at the batch where an interrupted build stopped.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike
from pydantic import TypeAdapter, ValidationError

from xda.atomic import sync_folder
from xda.errors import RunError
from xda.storage.files import sha256_file
from xda.storage.run import arrays
from xda.storage.run.build_state import ArrayForm, BuildState, FinishedStage, UnfinishedStage
from xda.storage.run.growing_arrays import GrowingArrays
from xda.storage.run.manifest import FileEntry, RelativePath
from xda.storage.run.space import readable_size, shortage

_REMEDY = (
    "Free space or check permissions, and start again: the build continues where it stopped, and an earlier run is "
    "untouched."
)

_SMALL = 1 << 16
"""Rough size of state and manifest, which cannot be known beforehand."""

_relative_path: TypeAdapter[str] = TypeAdapter(RelativePath)


class StagedFolder:
    """A folder that is written stage by stage.

    Parameters
    ----------
    path : Path
        Final path of the folder, for messages.
    building : Path
        The folder itself.
    """

    def __init__(self, path: Path, building: Path) -> None:
        self.path = path
        self._building = building
        self._state = BuildState()
        self._confirmed: set[str] = set()
        self._open_stage: dict[str, None] | None = None

    def finished(self, stage: str, inputs: str) -> bool:
        """Tell whether a stage was finished with these inputs; if so, keep its files for this run.

        Parameters
        ----------
        stage : str
            Name of the stage.
        inputs : str
            Fingerprint of all inputs of the stage, upstream stages included (see
            :func:`xda.storage.files.fingerprint`).
        """
        record = self._state.stages.get(stage)
        if record is None or record.inputs != inputs:
            return False
        for name, entry in record.files.items():
            path = self._building / name
            if not path.is_file() or path.stat().st_size != entry.bytes:
                return False
        self._confirmed.add(stage)
        return True

    def require_space(self, what: str, needed: int) -> None:
        """Refuse a long computation beforehand if the disk lacks the space for its result.

        Parameters
        ----------
        what : str
            Name of the result, in the plural, for the message.
        needed : int
            Least number of bytes of the result.

        Raises
        ------
        RunError
            The disk has fewer free bytes.
        """
        with self._writing():
            free = shutil.disk_usage(self._building).free
        if free < needed:
            raise RunError(
                f"The run {self.path} cannot be written: {what} need at least {readable_size(needed)}, "
                f"{readable_size(free)} are free on its disk. {_REMEDY}"
            )

    @contextmanager
    def stage(self, stage: str, inputs: str) -> Iterator[None]:
        """Write the files of a stage inside this block; the stage is finished if the block ends without an error.

        Raises
        ------
        RunError
            A file cannot be written, for example because the disk is full.
        """
        with self._open() as written:
            with self._writing():
                self._forget(stage)
            try:
                yield
                self._finish(stage, inputs, written)
            except BaseException:
                # Half-written files are useless and may fill the disk.
                for name in written:
                    with suppress(OSError):
                        (self._building / name).unlink()
                raise

    @contextmanager
    def growing_stage(
        self, stage: str, inputs: str, forms: Mapping[str, tuple[tuple[int, ...], DTypeLike]]
    ) -> Iterator[GrowingArrays]:
        """Fill the arrays of a stage batch by batch inside this block; continue an interrupted build.

        Parameters
        ----------
        stage : str
        inputs : str
            As in :meth:`finished`.
        forms : mapping of str to (shape, dtype)
            The arrays, all with the same number of rows. Their space is reserved before the block begins.

        Yields
        ------
        GrowingArrays
            ``done`` is the next row to fill; the stage is finished if the block ends with all rows filled.

        Raises
        ------
        RunError
            There is too little space, or a file cannot be written.
        RuntimeError
            The block ended before all rows were filled.
        """
        wanted = {
            name: ArrayForm(dtype=np.dtype(dtype).newbyteorder("<").str, shape=shape)
            for name, (shape, dtype) in forms.items()
        }
        with self._open() as written:
            done = self._rows_done(stage, inputs, wanted)
            if done is None:
                with self._writing():
                    self._forget(stage)
                for name, form in wanted.items():
                    path = self._new(name)
                    with self._writing(path, math.prod(form.shape) * np.dtype(form.dtype).itemsize):
                        arrays.create_array(path, form.shape, form.dtype)
            written.update(dict.fromkeys(wanted))

            def mark(rows: int) -> None:
                self._state.unfinished[stage] = UnfinishedStage(inputs=inputs, files=wanted, done=rows)
                self._state.save(self._building)

            paths = {name: self._building / name for name in wanted}
            with GrowingArrays(paths, done or 0, mark, self._writing) as growing:
                yield growing
                if growing.done != growing.total:
                    raise RuntimeError(f"{stage}: {growing.done} of {growing.total} rows are filled")
            self._finish(stage, inputs, written)

    def _rows_done(self, stage: str, inputs: str, wanted: dict[str, ArrayForm]) -> int | None:
        """Return the number of reusable rows of an unfinished stage; None if its files must be created again."""
        record = self._state.unfinished.get(stage)
        if record is None or record.inputs != inputs or record.files != wanted:
            return None
        for name, form in wanted.items():
            try:
                with (self._building / name).open("rb") as stream:
                    dtype, shape, _ = arrays.read_array_header(stream)
            except (OSError, ValueError):
                return None
            if (dtype.str, shape) != (form.dtype, form.shape):
                return None
        return record.done

    @contextmanager
    def _open(self) -> Iterator[dict[str, None]]:
        """Allow writing during the block; yield the set that collects the names of the files."""
        if self._open_stage is not None:
            raise RuntimeError("a stage is already open")
        self._open_stage = {}
        try:
            yield self._open_stage
        finally:
            self._open_stage = None

    def _finish(self, stage: str, inputs: str, written: Iterable[str]) -> None:
        with self._writing():
            entries = {name: self._finish_file(name) for name in written}
            for folder in sorted({inner for name in written for inner in Path(name).parents}):
                sync_folder(self._building / folder)
            self._state.forget(stage)
            self._state.stages[stage] = FinishedStage(inputs=inputs, files=entries)
            self._state.save(self._building)
        self._confirmed.add(stage)

    def has(self, name: str) -> bool:
        """Tell whether a file belongs to a finished stage of this run."""
        return any(name in self._state.stages[stage].files for stage in self._confirmed)

    def sha256(self, name: str) -> str:
        """Return the hash of a file of a finished stage: 64 hexadecimal digits."""
        self._existing(name)
        return next(
            s.files[name].sha256 for s in map(self._state.stages.__getitem__, self._confirmed) if name in s.files
        )

    def _finish_file(self, name: str) -> FileEntry:
        path = self._building / name
        with path.open("r+b") as stream:
            os.fsync(stream.fileno())
            dtype, shape = None, None
            if path.suffix == ".npy":
                kind, shape, _ = arrays.read_array_header(stream)
                dtype = kind.str
                stream.seek(0)
            return FileEntry(sha256=sha256_file(stream), bytes=path.stat().st_size, dtype=dtype, shape=shape)

    def _new(self, name: str) -> Path:
        if self._open_stage is None:
            raise RuntimeError("files are written inside a stage")
        try:
            _relative_path.validate_python(name)
        except ValidationError as error:
            raise ValueError(f"{name!r} cannot be the name of a file of a run") from error
        for stage in self._state.writers(name):
            if stage in self._confirmed:
                raise ValueError(f"{name} was already written by the stage {stage}")
            self._forget(stage)
        path = self._building / name
        with self._writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            # A new inode, so that a memory map of an earlier attempt does not change.
            path.unlink(missing_ok=True)
        self._open_stage[name] = None
        return path

    def _existing(self, name: str) -> Path:
        if not self.has(name):
            raise ValueError(f"{name} belongs to no finished stage of this run")
        return self._building / name

    def _forget(self, stage: str) -> None:
        self._confirmed.discard(stage)
        if self._state.forget(stage):
            self._state.save(self._building)

    @contextmanager
    def _writing(self, path: Path | None = None, needed: int = _SMALL) -> Iterator[None]:
        """Explain disk errors; ``needed`` is the approximate final size of the file."""
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise RunError(
                f"The run {self.path} cannot be written: {reason}{shortage(error, path or self._building, needed)}. "
                f"{_REMEDY}"
            ) from error
