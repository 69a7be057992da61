"""An acknowledged link survives a restart, even if the database's file is harmed meanwhile."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import event

from tests.storage.postgres import Postgres
from tests.storage.run.small_disk import small_disk
from xda.errors import BusyError
from xda.storage.database.engine import connect, parse_url, written
from xda.storage.database.links import LinkStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of the database."""
    return tmp_path / "home" / "links.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[LinkStore]:
    """A store that is in use."""
    store = LinkStore(f"sqlite:///{path}")
    store.migrate()
    store.create("r", "d", {}, {}, {})
    yield store
    store.close()


def delete(path: Path) -> None:
    path.unlink()


def move_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


def replace_folder(path: Path) -> None:
    move_folder(path)
    path.parent.mkdir()


def replace_by_nothing(path: Path) -> None:
    path.unlink()
    path.touch()


def replace_by_another(path: Path) -> None:
    path.rename(path.with_name("old"))
    other = LinkStore(f"sqlite:///{path}")
    other.migrate()
    other.close()


def replace_by_a_copy(path: Path) -> None:
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").rename(path)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def drop_what_is_beside(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}-*"):
        file.unlink()


HARM = [
    delete,
    move_folder,
    replace_folder,
    replace_by_nothing,
    replace_by_another,
    replace_by_a_copy,
    empty,
    drop_what_is_beside,
]


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("reading", [False, True])
def test_link_file_harmed_while_open_keeps_acknowledged_links(
    store: LinkStore, path: Path, harm: Callable[[Path], None], reading: bool
) -> None:
    acknowledged = []
    with sqlite3.connect(path) as other:  # another program has the file open too, for example a backup
        if reading:
            other.execute("SELECT count(*) FROM link").fetchall()
        harm(path)
        for _ in range(3):
            with suppress(BusyError):
                acknowledged.append(store.create("r", "d", {}, {}, {"m": ("text/plain", b"x")}).id)
    other.close()
    store.close()
    again = LinkStore(f"sqlite:///{path}")
    again.migrate()
    assert [again.get(link).id for link in acknowledged] == acknowledged
    again.close()
    if harm in (replace_by_another, replace_by_a_copy, drop_what_is_beside):
        assert len(acknowledged) == 3, "a database that is there is used"
    else:
        assert acknowledged == []


@pytest.mark.parametrize("harm", [delete, move_folder])
def test_link_file_gone_is_refused_with_advice(store: LinkStore, path: Path, harm: Callable[[Path], None]) -> None:
    kept = store.create("r", "d", {}, {}, {})
    saved = path.parent.with_name("saved")
    shutil.copy(path, saved)
    harm(path)
    for call in (store.ping, lambda: store.get(kept.id), lambda: store.create("r", "d", {}, {}, {})):
        with pytest.raises(BusyError, match=r"was deleted or replaced .* Put the file back, or restart"):
            call()
    assert not path.exists(), "nothing is made anew behind the operator's back"
    path.parent.mkdir(exist_ok=True)
    shutil.copy(saved, path)
    store.ping()
    assert store.get(kept.id) == kept
    assert store.get(store.create("r", "d", {}, {}, {}).id)


@pytest.mark.parametrize("harm", [delete, replace_by_another])
def test_link_file_gone_during_a_commit_is_not_acknowledged(
    store: LinkStore, path: Path, harm: Callable[[Path], None]
) -> None:
    engine = connect(parse_url(f"sqlite:///{path}"))
    event.listen(engine, "commit", lambda connection: harm(path))
    with pytest.raises(BusyError), written(engine) as session:
        session.connection().exec_driver_sql("DELETE FROM link")
    engine.dispose()


def test_ping_read_only_file_system_is_refused(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2_000_000) as disk:
        store = LinkStore(f"sqlite:///{disk / 'links.sqlite3'}")
        store.migrate()
        link = store.create("r", "d", {}, {}, {})
        store.close()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(BusyError, match="cannot be written"):
            store.ping()
        with pytest.raises(BusyError, match="readonly"):
            store.create("r", "d", {}, {}, {})
        assert store.get(link.id) == link
        store.close()


def test_ping_read_only_postgresql_is_refused(postgres: Postgres) -> None:
    url = postgres.create_database("xda_read_only")
    store = LinkStore(url)
    store.migrate()
    store.close()
    store = LinkStore(f"{url}&options=-c%20default_transaction_read_only%3Don")
    with pytest.raises(BusyError, match="can only be read"):
        store.ping()
    store.close()
