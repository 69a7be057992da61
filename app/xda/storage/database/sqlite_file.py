"""The single file of a SQLite database: commits must reach the file that a restart opens.

A deleted or replaced file lives on for processes that have it open: SQLite would continue to write into it, and a
restart would lose these writes. Three rules prevent that: a connection is used only while its file is the one at the
path; a write is acknowledged only if that still holds after the commit; and a missing file is never recreated while
the server runs. There is no write-ahead log beside the file, since it could be lost alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.exc import DisconnectionError

from xda.errors import BusyError

BUSY_SECONDS = 15

Identity = tuple[int, int]
"""Device number and inode number of a file."""


def database_file(url: URL) -> Path:
    """Return the file of a SQLite database."""
    return Path(str(url.database))


def identity(path: Path) -> Identity | None:
    """Return the identity of the file at a path; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def attach(engine: Engine) -> None:
    """Make a SQLite engine open only an existing file, and drop the connection if another file replaces it."""
    path = database_file(engine.url).absolute()

    def open_existing(_dialect: object, _record: object, arguments: list[Any], options: dict[str, Any]) -> None:
        arguments[0] = f"{path.as_uri()}?mode=rw"
        options["uri"] = True

    def opened(connection: Any, record: Any) -> None:
        record.info["file"] = identity(path)
        # The driver must not start transactions by itself: _begin does, with the write lock when asked to.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        connection.execute("PRAGMA foreign_keys = ON")
        # A commit returns when it is on the disk, with the removal of its journal.
        connection.execute("PRAGMA synchronous = EXTRA")

    def used(_connection: object, record: Any, _proxy: object) -> None:
        if record.info["file"] != identity(path):
            raise DisconnectionError("another file has taken the place of the one that is open")

    event.listen(engine, "do_connect", open_existing)
    event.listen(engine, "connect", opened)
    event.listen(engine, "checkout", used)
    event.listen(engine, "begin", _begin)


def _begin(connection: Connection) -> None:
    writing = connection.get_execution_options().get("xda_writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def lost(path: Path) -> BusyError:
    """Return the error for a database that was deleted or replaced."""
    return BusyError(
        f"The link database {path} was deleted or replaced while this server used it, so nothing can be kept in it. "
        "Put the file back, or restart the server, which then begins an empty one.",
        retry_after=5,
    )


def check_kept(path: Path, written: Identity | None) -> None:
    """Refuse to acknowledge a write if the written file is no longer at its path.

    Parameters
    ----------
    path : Path
        Path of the database.
    written : tuple of int
        Identity of the file that the connection wrote.

    Raises
    ------
    BusyError
        Another file is there, or none.
    """
    if written is None or identity(path) != written:
        raise lost(path)


def check_writable(path: Path) -> None:
    """Refuse a read-only database.

    Raises
    ------
    BusyError
        The file or its folder, which holds the journal of a transaction, cannot be written.
    """
    for place in (path, path.absolute().parent):
        if not os.access(place, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            raise BusyError(
                f"The link database {path} cannot be written: {place} is read-only for this server. "
                "Make it writable; until then nothing is shared.",
                retry_after=5,
            )
