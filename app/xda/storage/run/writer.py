"""Writes a run folder stage by stage; it survives ``kill -9``, and readers see it only when it is whole.

Everything is written to ``.<name>.building`` beside the final folder. A *stage* is a group of files with the
fingerprint of its inputs, recorded when its files are on the disk (:mod:`xda.storage.run.stages`); a later start skips
it if the fingerprint is the same.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xda.atomic import replacing
from xda.errors import ConfigError, DataError, RunError
from xda.progress import Progress, silent
from xda.storage.files import file_lock, sha256_file
from xda.storage.run import arrays, swap
from xda.storage.run.build_state import STATE_NAME, BuildState
from xda.storage.run.folder import RunFolder
from xda.storage.run.layout import image_files
from xda.storage.run.layout_check import check_layout
from xda.storage.run.manifest import MANIFEST_NAME, FileEntry, RunDescription, Split, describe
from xda.storage.run.overwrite import refuse_overwrite
from xda.storage.run.parquet_tables import read_table
from xda.storage.run.stages import StagedFolder

_log = logging.getLogger(__name__)


class RunWriter(StagedFolder):
    """Writer of one run folder, a context manager; without :meth:`commit`, finished stages are kept for the next start.

    Parameters
    ----------
    out : Path
        Final folder. Its parent is created; an existing run stays until the new one is complete.
    run_id : str
        Id of the run. Nothing but an earlier version of the run is ever replaced.

    Examples
    --------
    ::

        with RunWriter(Path("runs/mnist"), "mnist") as writer:
            if not writer.finished("features", inputs):
                with writer.stage("features", inputs):
                    writer.write_array("train/features.npy", features)
            run = writer.commit(description)
    """

    def __init__(self, out: Path, run_id: str) -> None:
        path = out.resolve()
        self._run_id = run_id
        super().__init__(path, swap.building_path(path) if path.name else path)
        self._held = ExitStack()

    def __enter__(self) -> RunWriter:
        """Lock the run, clean up after an interrupted build and load the finished stages.

        Raises
        ------
        ConflictError
            Another process builds this run, or the path holds something else, such as a run of another id.
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
            refuse_overwrite(self.path, self._run_id)
            (self.path / STATE_NAME).unlink(missing_ok=True)
            self._load_state()
            self._held = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the lock."""
        self._held.close()

    def array(self, name: str) -> NDArray[Any]:
        """Return an array of a finished stage, memory-mapped and read-only."""
        array: NDArray[np.generic] = np.load(self._existing(name), mmap_mode="r", allow_pickle=False)
        return array

    def table(self, name: str) -> pa.Table:
        """Return a table of a finished stage."""
        return read_table(self._existing(name))

    def read_bytes(self, name: str) -> bytes:
        """Return the content of a file of a finished stage."""
        return self._existing(name).read_bytes()

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a file from memory."""
        path = self._new(name)
        with self._writing(path, len(content)):
            path.write_bytes(content)

    def write_array(self, name: str, array: NDArray[np.generic]) -> None:
        """Write an array of booleans, integers or floating-point numbers as ``.npy`` (little-endian, C order)."""
        path = self._new(name)
        with self._writing(path, array.nbytes):
            arrays.write_array(path, array)

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write a table as Parquet."""
        path = self._new(name)
        with self._writing(path, table.nbytes):
            pq.write_table(table, path, compression="zstd")

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
            Number of images.
        progress : Progress
        label : str
            Name of the stage for ``progress``.

        Raises
        ------
        DataError
            An image is empty or cannot be read, or their number is not ``total``.
        """
        content, offsets_name = image_files(split)
        offsets = np.zeros(total + 1, np.int64)
        count = 0
        path = self._new(content)
        # Unbuffered, since closing a file with a full buffer would fail once more on a full disk.
        with self._writing(), path.open("wb", buffering=0) as sink:
            for image in _readable(split, images):
                if not image or count == total:
                    raise DataError(
                        f"The {split} split has an empty image at {count}, or more than {total} images. "
                        "Fetch the data again."
                    )
                offsets[count + 1] = offsets[count] + len(image)
                count += 1
                with self._writing(path, int(offsets[count]) * total // count):
                    left = memoryview(image)
                    while left:
                        left = left[sink.write(left) :]
                if count % 1000 == 0 or count == total:
                    progress(f"{label}: {split}", count, total)
        if count != total:
            raise DataError(f"The {split} split has {count} images instead of {total}. Fetch the data again.")
        self.write_array(offsets_name, offsets)

    def discard(self) -> None:
        """Discard all stages; a finished run stays."""
        with self._writing():
            swap.remove_folder(self._building)
            self._building.mkdir()
            self._state = BuildState(run_id=self._run_id)
            self._confirmed.clear()
            self._state.save(self._building)

    def commit(self, description: RunDescription) -> RunFolder:
        """Check all files, write the manifest and move the run into place, replacing an older one in one step.

        Parameters
        ----------
        description : RunDescription
            Description of the run; the writer adds hashes, sizes, shapes and the date.

        Returns
        -------
        RunFolder
            The run, open.

        Raises
        ------
        RunError
            A file has changed since its stage wrote it, parts contradict each other, or the folder cannot be written.
            An older run is then still in place.
        """
        with self._writing():
            files = self._checked_files()
            self._remove_strays(files)
            manifest = describe(description, dict(sorted(files.items())))
            check_layout(manifest, str(self.path))
            with replacing(self._building / MANIFEST_NAME) as file:
                file.write(manifest.to_bytes())
            refuse_overwrite(self.path, self._run_id)
            RunFolder.open(self._building, verify=False)
            swap.publish(self.path)
            # Removed last: until the run is in place, a restart needs the state.
            (self.path / STATE_NAME).unlink(missing_ok=True)
        self._state = BuildState(run_id=self._run_id)
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
        """Remove files of no confirmed stage: parts of a killed stage, surrogates no longer requested."""
        for folder, _, names in os.walk(self._building, topdown=False):
            for name in names:
                path = Path(folder, name)
                if path.relative_to(self._building).as_posix() not in {*files, STATE_NAME}:
                    path.unlink()
            if Path(folder) != self._building and not os.listdir(folder):
                os.rmdir(folder)

    def _load_state(self) -> None:
        """Load the state of the building folder; a folder without a readable state is the rest of a swap."""
        try:
            self._state = BuildState.load(self._building)
            self._state.run_id = self._run_id
        except (OSError, ValueError) as error:
            if self._building.exists() and not isinstance(error, FileNotFoundError):
                _log.warning(
                    "the unfinished build in %s cannot be continued and starts anew: %s", self._building, error
                )
            self.discard()


def _readable(split: Split, images: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the images; turn their read errors into DataErrors, distinct from errors of writing."""
    try:
        yield from images
    except OSError as error:
        raise DataError(f"An image of the {split} split cannot be read ({error}). Fetch the data again.") from error
