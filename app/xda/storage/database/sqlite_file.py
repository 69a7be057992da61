"""The one file of a SQLite database: what is committed must be in the file that is opened after a restart.

A file that is deleted or replaced lives on for those who have it open: SQLite would go on writing into it, and all of
that would be gone after a restart. So a connection is used only while the file that it opened is the one at its path,
nothing is said to be kept before that was looked at once more after the commit, and a file that is missing is never
made anew on the way. There is no write-ahead log beside the file: it could be lost by itself.
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
"""Device and number of a file on it."""


def database_file(url: URL) -> Path:
    """Return the file of a SQLite database."""
    return Path(str(url.database))


def identity(path: Path) -> Identity | None:
    """Return which file is at a path; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def attach(engine: Engine) -> None:
    """Make a SQLite engine open only a file that is there, and leave it when another takes its place."""
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
        # a commit is on the disk when it returns, the removal of its journal included
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
    """Return the error that says that a database is no longer where it was."""
    return BusyError(
        f"The link database {path} was deleted or replaced while this server used it, so nothing can be kept in it. "
        "Put the file back, or restart the server, which then begins an empty one.",
        retry_after=5,
    )


def check_kept(path: Path, written: Identity | None) -> None:
    """Refuse to call something kept that was written into a file that is no longer at its path.

    Parameters
    ----------
    path : Path
        Where the database is.
    written : tuple of int
        The file that the connection had open.

    Raises
    ------
    BusyError
        Another file is there, or none.
    """
    if written is None or identity(path) != written:
        raise lost(path)


def check_writable(path: Path) -> None:
    """Refuse a database that can be read and not written.

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
