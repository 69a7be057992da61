"""Schema and connection of the link database, on SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, inspect, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from tests.storage.postgres import Postgres
from xda.errors import BusyError, ConfigError
from xda.storage.database.engine import (
    Base,
    LinkMediaRow,
    LinkRow,
    connect,
    database_errors,
    migration_config,
    parse_url,
    upgrade,
)


def test_migrations_build_the_model(database_url: str) -> None:
    engine = connect(parse_url(database_url))
    upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []
        assert set(inspect(connection).get_table_names()) == {"alembic_version", "link", "link_media"}
    engine.dispose()


def test_upgrade_twice_changes_nothing(database_url: str) -> None:
    engine = connect(parse_url(database_url))
    upgrade(engine)
    with engine.execution_options(xda_writing=True).begin() as connection:
        connection.execute(text("CREATE TABLE witness (n INTEGER)"))
    upgrade(engine)
    with engine.connect() as connection:
        assert "witness" in inspect(connection).get_table_names()
    engine.dispose()


def test_migrations_downgrade_to_nothing(database_url: str) -> None:
    engine = connect(parse_url(database_url))
    upgrade(engine)
    with engine.execution_options(xda_writing=True).begin() as connection:
        command.downgrade(migration_config(connection), "base")
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
    engine.dispose()


def test_upgrade_newer_database_is_refused_without_password(database_url: str) -> None:
    engine = connect(parse_url(database_url))
    upgrade(engine)
    with engine.execution_options(xda_writing=True).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match="newer program"):
        upgrade(engine)
    engine.dispose()


def test_upgrade_by_several_threads_works(database_url: str) -> None:
    engines = [connect(parse_url(database_url)) for _ in range(4)]
    failures: list[Exception] = []

    def start(engine_index: int) -> None:
        try:
            upgrade(engines[engine_index])
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=start, args=(index,)) for index in range(len(engines))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for engine in engines:
        engine.dispose()
    assert failures == []


@pytest.mark.slow
def test_upgrade_by_several_processes_works(database_url: str) -> None:
    script = (
        "import sys; from xda.storage.database.links import LinkStore\n"
        "store = LinkStore(sys.argv[1]); store.migrate(); "
        "print(store.create('r', 'd', {}, {}, {}).id); store.close()"
    )
    started = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", script, database_url], stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    ids = {process.communicate(timeout=60)[0].decode().strip() for process in started}
    assert [process.returncode for process in started] == [0, 0, 0]
    assert len(ids) == 3
    engine = connect(parse_url(database_url))
    with engine.connect() as connection:
        assert set(connection.execute(text("SELECT id FROM link")).scalars()) == ids
    engine.dispose()


def test_media_are_deleted_with_their_link(database_url: str) -> None:
    engine = connect(parse_url(database_url))
    upgrade(engine)
    writing = engine.execution_options(xda_writing=True)
    orphan = LinkMediaRow(link_id="nobody-here", name="card", content_type="image/png", content=b"x")
    with pytest.raises(IntegrityError), Session(writing) as session, session.begin():
        session.add(orphan)
    with Session(writing) as session, session.begin():
        session.add(LinkRow(id="a" * 16, created=datetime.now(UTC), run_id="r", run_digest="d", state={}, snapshot={}))
        session.flush()
        session.add(LinkMediaRow(link_id="a" * 16, name="card", content_type="image/png", content=b"x"))
    with writing.begin() as connection:
        connection.execute(text("DELETE FROM link"))
        assert connection.execute(text("SELECT count(*) FROM link_media")).scalar_one() == 0
    engine.dispose()


def test_utc_moment_comes_back_aware_in_utc(database_url: str) -> None:
    engine = connect(parse_url(database_url))
    upgrade(engine)
    moment = datetime(2026, 3, 29, 2, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    with Session(engine.execution_options(xda_writing=True)) as session, session.begin():
        session.add(LinkRow(id="a" * 16, created=moment, run_id="r", run_digest="d", state={}, snapshot={}))
    with Session(engine) as session:
        stored = session.get_one(LinkRow, "a" * 16).created
    assert stored == moment
    assert stored.utcoffset() == timedelta(0)
    engine.dispose()


def test_sqlite_uses_one_file_foreign_keys_and_busy_timeout(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "links%20?#.sqlite3"
    path.parent.mkdir()
    earlier = sqlite3.connect(path)
    earlier.execute("PRAGMA journal_mode = WAL")
    earlier.close()
    engine = connect(URL.create("sqlite+pysqlite", database=str(path)))
    upgrade(engine)
    with engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "foreign_keys", "busy_timeout", "synchronous")
        }
    assert pragmas == {"journal_mode": "delete", "foreign_keys": 1, "busy_timeout": 15_000, "synchronous": 3}
    assert {file.name for file in path.parent.iterdir()} == {path.name, f"{path.name}.lock"}
    engine.dispose()


def test_sqlite_second_writer_waits_for_first(tmp_path: Path) -> None:
    engine = connect(parse_url(f"sqlite:///{tmp_path / 'links.sqlite3'}"))
    upgrade(engine)
    other = sqlite3.connect(tmp_path / "links.sqlite3", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, other.execute, ["COMMIT"])
    release.start()
    with engine.execution_options(xda_writing=True).begin() as connection:
        connection.execute(text("DELETE FROM link"))
    release.join()
    other.close()
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgresql://u:p@h/d", "postgresql+psycopg"),
        ("postgres://u:p@h/d", "postgresql+psycopg"),
        ("postgresql+psycopg://u:p@h/d", "postgresql+psycopg"),
        ("sqlite:///links.sqlite3", "sqlite+pysqlite"),
    ],
)
def test_parse_url_fills_in_driver(url: str, driver: str) -> None:
    assert parse_url(url).drivername == driver


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "mysql://h/d",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?uri=true",
        "postgresql://h:x/d",
    ],
)
def test_parse_url_other_database_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        parse_url(url)


def test_database_error_hides_password(postgres: Postgres) -> None:
    url = parse_url(postgres.url("not_there")).set(username="xda", password="hunter2")
    engine = connect(url)
    with pytest.raises(BusyError, match="not_there") as caught, database_errors(url), engine.connect():
        pass
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value)
    engine.dispose()


def test_connect_without_folder_is_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be created"):
        connect(parse_url(f"sqlite:///{tmp_path / 'file' / 'links.sqlite3'}"))


def test_upgrade_file_not_a_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "links.sqlite3"
    path.write_bytes(b"this is not a database, but long enough to be taken for the header of one" * 20)
    engine = connect(parse_url(f"sqlite:///{path}"))
    with pytest.raises(BusyError, match="not a database"):
        upgrade(engine)
    engine.dispose()
