"""The database of shared links: connection, tables and schema upgrade for SQLite and PostgreSQL.

SQLite uses foreign keys and a busy time-out; a writing transaction takes its lock at once (``BEGIN IMMEDIATE``), so
that two writers wait for each other instead of failing. psycopg 3 connects to PostgreSQL.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import (
    JSON,
    URL,
    Connection,
    DateTime,
    Dialect,
    Engine,
    ForeignKey,
    LargeBinary,
    MetaData,
    String,
    TypeDecorator,
    create_engine,
    make_url,
    text,
)
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from xda.errors import BusyError, ConfigError
from xda.storage.database import sqlite_file
from xda.storage.files import file_lock

POSTGRES_PATIENCE = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
}
"""Limits on a silent server, which would otherwise hold a thread for hours, TCP's own time-out."""
_MIGRATION_LOCK = 0x0DA_11_4B5
"""Key of the PostgreSQL advisory lock for schema upgrades."""


class Utc(TypeDecorator[datetime]):
    """A moment in UTC; stored without a zone if the database has no zones (SQLite)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware datetime into UTC."""
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment if dialect.name == "postgresql" else moment.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return an aware datetime in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Declarative base with a naming convention, so that migrations can name every constraint."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class LinkRow(Base):
    """One shared link."""

    __tablename__ = "link"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    created: Mapped[datetime] = mapped_column(Utc)
    run_id: Mapped[str] = mapped_column(String(64))
    run_digest: Mapped[str] = mapped_column(String(64))
    state: Mapped[dict[str, Any]] = mapped_column(JSON)
    snapshot: Mapped[dict[str, Any]] = mapped_column(JSON)


class LinkMediaRow(Base):
    """One image or other file of a link."""

    __tablename__ = "link_media"

    link_id: Mapped[str] = mapped_column(ForeignKey("link.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    content_type: Mapped[str] = mapped_column(String(128))
    content: Mapped[bytes] = mapped_column(LargeBinary)


def parse_url(text_url: str) -> URL:
    """Read the URL of the link database and fill in the driver.

    Parameters
    ----------
    text_url : str
        ``sqlite:///file`` or ``postgresql://user:password@host/name``.

    Raises
    ------
    ConfigError
        The URL is malformed, or names another kind of database, or a SQLite database in memory.
    """
    try:
        url = make_url(text_url)
    except (ArgumentError, ValueError) as error:
        raise ConfigError(
            "The URL of the link database is malformed. Use sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME."
        ) from error
    if url.drivername in {"postgresql", "postgres", "postgresql+psycopg"}:
        return url.set(drivername="postgresql+psycopg")
    if url.drivername in {"sqlite", "sqlite+pysqlite"}:
        if url.database in {None, "", ":memory:"} or str(url.database).startswith("file:"):
            raise ConfigError(
                "Links must survive a restart: name a file for the link database, as in sqlite:///links.sqlite3."
            )
        return url.set(drivername="sqlite+pysqlite")
    raise ConfigError(
        f"The link database cannot be {url.drivername}. Use sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME."
    )


def connect(url: URL) -> Engine:
    """Return an engine; nothing is connected yet.

    Raises
    ------
    ConfigError
        The folder of a SQLite database cannot be created.
    """
    serializer = partial(json.dumps, allow_nan=False, separators=(",", ":"))
    if url.get_backend_name() == "postgresql":
        # pool_pre_ping: a restart of the database server must not cause error pages.
        return create_engine(url, json_serializer=serializer, pool_pre_ping=True, connect_args=POSTGRES_PATIENCE)
    folder = sqlite_file.database_file(url).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"The folder {folder} of the link database cannot be created: {error.strerror}.") from error
    engine = create_engine(url, json_serializer=serializer, connect_args={"timeout": sqlite_file.BUSY_SECONDS})
    sqlite_file.attach(engine)
    return engine


@contextmanager
def database_errors(url: URL) -> Iterator[None]:
    """Turn database failures into one sentence without the password.

    Raises
    ------
    BusyError
        The database does not answer, is locked, full or read-only.
    """
    try:
        yield
    except (DBAPIError, PoolTimeoutError, sqlite3.Error) as error:
        if url.get_backend_name() == "sqlite" and not (path := sqlite_file.database_file(url)).exists():
            raise sqlite_file.lost(path) from error
        cause = str(error.orig if isinstance(error, DBAPIError) else error).strip().partition("\n")[0]
        raise BusyError(
            f"The link database {url.render_as_string(hide_password=True)} does not answer ({cause}). "
            "Check that it runs and can be written, and try again.",
            retry_after=5,
        ) from error


@contextmanager
def written(engine: Engine) -> Iterator[Session]:
    """Write in one transaction; after the block without an error, the data survive a restart.

    Yields
    ------
    Session
        Committed at the end.

    Raises
    ------
    BusyError
        The database does not answer, is locked, full or read-only, or its file was deleted or replaced meanwhile.
    """
    url = engine.url
    with database_errors(url):
        with Session(engine.execution_options(xda_writing=True)) as session, session.begin():
            yield session
            opened = session.connection().info.get("file")
        if url.get_backend_name() == "sqlite":
            sqlite_file.check_kept(sqlite_file.database_file(url), opened)


def ping(engine: Engine) -> None:
    """Check that the database answers, has its tables, and can be written.

    Raises
    ------
    BusyError
        It does not answer, was not migrated, or is read-only.
    """
    with database_errors(engine.url), engine.connect() as connection:
        connection.execute(text("SELECT id FROM link LIMIT 1"))
        if engine.dialect.name == "postgresql":
            if connection.execute(text("SHOW transaction_read_only")).scalar_one() == "on":
                raise BusyError(
                    f"The link database {engine.url.render_as_string(hide_password=True)} can only be read. "
                    "Name its primary server, or let this user write.",
                    retry_after=5,
                )
            return
    sqlite_file.check_writable(sqlite_file.database_file(engine.url))


def migration_config(connection: Connection) -> Config:
    """Return Alembic's configuration for this package's migrations over an open connection."""
    config = Config()
    # Alembic reads the value through configparser, which treats % specially.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade(engine: Engine) -> None:
    """Upgrade the database to the newest schema; safe for several processes at once.

    Raises
    ------
    ConfigError
        The database was written by a newer program.
    BusyError
        The database does not answer.
    """
    with database_errors(engine.url):
        if engine.dialect.name == "postgresql":
            with engine.begin() as connection:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
                _upgrade(connection)
            return
        database = sqlite_file.database_file(engine.url)
        lock = database.with_name(database.name + ".lock")
        with file_lock(lock, f"the link database {database}", wait=sqlite_file.BUSY_SECONDS):
            if not database.exists():
                database.touch()
            # The file stores its mode, and earlier versions set another.
            raw = engine.raw_connection()
            try:
                raw.cursor().execute("PRAGMA journal_mode = DELETE")
            finally:
                raw.close()
            with engine.execution_options(xda_writing=True).begin() as connection:
                _upgrade(connection)


def _upgrade(connection: Connection) -> None:
    try:
        command.upgrade(migration_config(connection), "head")
    except CommandError as error:
        raise ConfigError(
            f"The link database {connection.engine.url.render_as_string(hide_password=True)} has a schema that this "
            f"program does not know ({error}): a newer program wrote it. Update this program, or name another database."
        ) from error
