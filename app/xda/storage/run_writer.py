"""Building a run folder: stage by stage, resumable after ``kill -9``, visible to readers only when it is whole.

Everything is written to ``.<name>.building`` beside the final folder. A *stage* is a group of files with the
fingerprint of what it was computed from, recorded once its files are on the disk; a later start skips it if the
fingerprint is the same.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import DTypeLike, NDArray
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from xda.errors import ConfigError, ConflictError, DataError, RunError
from xda.progress import Progress, silent
from xda.storage import arrays, swap
from xda.storage.files import atomic_write, file_lock, sha256_file, sync_folder
from xda.storage.layout import WEIGHTS, check_layout, image_files
from xda.storage.manifest import MANIFEST_NAME, FileEntry, RelativePath, RunDescription, Split, describe
from xda.storage.run_folder import RunFolder

STATE_NAME = ".build-state.json"

_log = logging.getLogger(__name__)
_relative_path: TypeAdapter[str] = TypeAdapter(RelativePath)


class _Stage(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    inputs: str
    files: dict[RelativePath, FileEntry]


class _State(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    stages: dict[str, _Stage] = {}


class RunWriter:
    """Writer of one run folder, a context manager; without :meth:`commit`, what is finished is kept for next time.

    Parameters
    ----------
    out : Path
        Final folder. Its parent is created; a run that is already there stays until the new one is complete.

    Examples
    --------
    ::

        with RunWriter(Path("runs/mnist")) as writer:
            if not writer.finished("features", inputs):
                with writer.stage("features", inputs):
                    writer.write_array("train/features.npy", features)
            run = writer.commit(description)
    """

    def __init__(self, out: Path) -> None:
        self.path = out.resolve()
        self._building = swap.building_path(self.path) if self.path.name else self.path
        self._state = _State()
        self._confirmed: set[str] = set()
        self._open_stage: dict[str, None] | None = None
        self._held = ExitStack()

    def __enter__(self) -> RunWriter:
        """Lock the run, tidy up after an interrupted build and load what is already finished.

        Raises
        ------
        ConflictError
            Another process builds this run, or something that is no run is in its place.
        ConfigError
            The path cannot be a run folder.
        RunError
            The folder cannot be written.
        """
        if not self.path.name:
            raise ConfigError(f"{self.path} cannot be a run folder. Name a new folder for the run.")
        with ExitStack() as stack, self._writing():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(file_lock(swap.lock_path(self.path), f"the run {self.path}"))
            swap.put_back(self.path)
            self._refuse_foreign_folder()
            (self.path / STATE_NAME).unlink(missing_ok=True)
            self._load_state()
            self._held = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the lock."""
        self._held.close()

    def finished(self, stage: str, inputs: str) -> bool:
        """Tell whether a stage was finished with these inputs, and keep its files for this run if so.

        Parameters
        ----------
        stage : str
            Name of the stage.
        inputs : str
            Fingerprint of all that the stage is computed from, upstream stages included (see
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

    @contextmanager
    def stage(self, stage: str, inputs: str) -> Iterator[None]:
        """Write the files of a stage inside this block; when it ends without an error the stage is finished.

        Raises
        ------
        RunError
            A file cannot be written, for example because the disk is full.
        """
        if self._open_stage is not None:
            raise RuntimeError("a stage is already open")
        with self._writing():
            self._forget(stage)
        written: dict[str, None] = {}
        self._open_stage = written
        try:
            yield
        finally:
            self._open_stage = None
        with self._writing():
            entries = {name: self._finish_file(name) for name in written}
            for folder in sorted({inner for name in written for inner in Path(name).parents}):
                sync_folder(self._building / folder)
            self._state.stages[stage] = _Stage(inputs=inputs, files=entries)
            self._save_state()
        self._confirmed.add(stage)

    def has(self, name: str) -> bool:
        """Tell whether a file belongs to a stage that is finished and part of this run."""
        return any(name in self._state.stages[stage].files for stage in self._confirmed)

    def array(self, name: str) -> NDArray[Any]:
        """Return an array of a finished stage, memory-mapped and read-only."""
        array: NDArray[np.generic] = np.load(self._existing(name), mmap_mode="r", allow_pickle=False)
        return array

    def table(self, name: str) -> pa.Table:
        """Return a table of a finished stage."""
        return pq.read_table(self._existing(name))

    def read_bytes(self, name: str) -> bytes:
        """Return the content of a file of a finished stage."""
        return self._existing(name).read_bytes()

    def sha256(self, name: str) -> str:
        """Return the hash of a file of a finished stage: 64 hexadecimal digits."""
        self._existing(name)
        return next(
            s.files[name].sha256 for s in map(self._state.stages.__getitem__, self._confirmed) if name in s.files
        )

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a file from memory."""
        with self._writing():
            self._new(name).write_bytes(content)

    def copy_file(self, name: str, source: Path) -> None:
        """Copy a file, such as a checkpoint, into the run.

        Raises
        ------
        DataError
            The source cannot be read.
        """
        try:
            stream = source.open("rb")
        except OSError as error:
            raise DataError(f"{source} cannot be read ({error.strerror}). Check the path.") from error
        with stream, self._writing(), self._new(name).open("wb") as sink:
            shutil.copyfileobj(stream, sink, 1 << 20)

    def write_array(self, name: str, array: NDArray[np.generic]) -> None:
        """Write an array of booleans, integers or floating-point numbers as ``.npy`` (little-endian, C order)."""
        with self._writing():
            arrays.write_array(self._new(name), array)

    def open_array(
        self, name: str, shape: tuple[int, ...], dtype: DTypeLike
    ) -> np.memmap[tuple[int, ...], np.dtype[np.generic]]:
        """Create an array of zeros to be filled part by part, larger than memory if need be (space is reserved)."""
        with self._writing():
            return arrays.create_array(self._new(name), shape, dtype)

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write a table as Parquet."""
        with self._writing():
            pq.write_table(table, self._new(name), compression="zstd")

    def write_images(
        self, split: Split, images: Iterable[bytes], total: int, progress: Progress = silent, label: str = "images"
    ) -> None:
        """Write the encoded images of a split back to back, and the array of their offsets.

        Parameters
        ----------
        split : {"train", "test"}
        images : iterable of bytes
            PNG or JPEG files, in the order of the data set.
        total : int
            How many there are.
        progress : Progress
            Called with ``label``.

        Raises
        ------
        DataError
            An image is empty, or there are more or fewer than ``total``.
        """
        content, offsets_name = image_files(split)
        offsets = np.zeros(total + 1, np.int64)
        count = 0
        with self._writing():
            sink = self._new(content).open("wb")
        with sink:
            for image in images:
                if not image or count == total:
                    raise DataError(
                        f"The {split} split has an empty image at {count}, or more than {total} images. "
                        "Fetch the data again."
                    )
                with self._writing():
                    sink.write(image)
                offsets[count + 1] = offsets[count] + len(image)
                count += 1
                if count % 1000 == 0 or count == total:
                    progress(f"{label}: {split}", count, total)
        if count != total:
            raise DataError(f"The {split} split has {count} images instead of {total}. Fetch the data again.")
        self.write_array(offsets_name, offsets)

    def discard(self) -> None:
        """Forget everything that was built so far; a finished run stays."""
        with self._writing():
            swap.remove_folder(self._building)
            self._building.mkdir()
            self._state = _State()
            self._confirmed.clear()
            self._save_state()

    def commit(self, description: RunDescription) -> RunFolder:
        """Check all files, write the manifest and move the run into place, replacing an older one in one step.

        Parameters
        ----------
        description : RunDescription
            What the run is; the writer adds hashes, sizes, shapes and the date.

        Returns
        -------
        RunFolder
            The run, open.

        Raises
        ------
        RunError
            A file is not what its stage wrote, parts do not belong together, or the folder cannot be written. An
            older run is then still in place.
        """
        with self._writing():
            files = self._checked_files()
            self._remove_strays(files)
            manifest = describe(description, dict(sorted(files.items())))
            check_layout(manifest, str(self.path))
            atomic_write(self._building / MANIFEST_NAME, manifest.to_bytes())
            self._refuse_foreign_folder()
            RunFolder.open(self._building, verify=False)
            swap.publish(self.path)
            # Only now: until the run is in place, the state is what makes its stages worth keeping.
            (self.path / STATE_NAME).unlink(missing_ok=True)
        self._state = _State()
        self._confirmed.clear()
        return RunFolder.open(self.path, verify=False)

    def _checked_files(self) -> dict[str, FileEntry]:
        files: dict[str, FileEntry] = {}
        for stage in sorted(self._confirmed):
            for name, entry in self._state.stages[stage].files.items():
                path = self._building / name
                found = sha256_file(path) if path.is_file() else "no file"
                if found != entry.sha256:
                    self._forget(stage)
                    raise RunError(
                        f"{path} changed after it was written: SHA-256 {found} instead of {entry.sha256}. "
                        "Check the disk and start again; this part will be computed anew."
                    )
                files[name] = entry
        return files

    def _remove_strays(self, files: dict[str, FileEntry]) -> None:
        """Remove what belongs to no confirmed stage: parts of a killed stage, surrogates no longer asked for."""
        for folder, _, names in os.walk(self._building, topdown=False):
            for name in names:
                path = Path(folder, name)
                if path.relative_to(self._building).as_posix() not in {*files, STATE_NAME}:
                    path.unlink()
            if Path(folder) != self._building and not os.listdir(folder):
                os.rmdir(folder)

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
        for stage in [stage for stage, record in self._state.stages.items() if name in record.files]:
            if stage in self._confirmed:
                raise ValueError(f"{name} was already written by the stage {stage}")
            self._forget(stage)
        path = self._building / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # A fresh inode: a memory map of an earlier attempt must not change under its owner.
        path.unlink(missing_ok=True)
        self._open_stage[name] = None
        return path

    def _existing(self, name: str) -> Path:
        if not self.has(name):
            raise ValueError(f"{name} belongs to no finished stage of this run")
        return self._building / name

    def _forget(self, stage: str) -> None:
        self._confirmed.discard(stage)
        if self._state.stages.pop(stage, None) is not None:
            self._save_state()

    def _save_state(self) -> None:
        atomic_write(self._building / STATE_NAME, self._state.model_dump_json(indent=1).encode())

    def _load_state(self) -> None:
        """Go on with the building folder if it has a readable state; without one it is the rest of a swap."""
        try:
            self._state = _State.model_validate_json((self._building / STATE_NAME).read_bytes())
        except (OSError, ValueError) as error:
            if self._building.exists() and not isinstance(error, FileNotFoundError):
                _log.warning(
                    "the unfinished build in %s cannot be continued and starts anew: %s", self._building, error
                )
            self.discard()

    def _refuse_foreign_folder(self) -> None:
        """Never replace a folder that is not a run: ``--out ~`` must not cost anybody a home folder."""
        if not self.path.exists():
            return
        inside = {entry.name for entry in os.scandir(self.path)} if self.path.is_dir() else {"a file"}
        if inside and not {MANIFEST_NAME, WEIGHTS} <= inside:
            raise ConflictError(
                f"{self.path} exists and is not a run folder. Choose another folder, or remove it first."
            )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise RunError(
                f"The run {self.path} cannot be written: {reason}. Free space or check permissions, and start again: "
                "it goes on where it stopped."
            ) from error
