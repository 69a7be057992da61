"""Shared links on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from xda.errors import BusyError, InvalidRequestError, NotFoundError
from xda.storage.database.links import LinkStore

DIGEST = "d" * 64
MEDIA = {"card.png": ("image/png", bytes(range(256)) * 40), "test.png": ("image/png", b"")}


@pytest.fixture
def store(database_url: str) -> Iterator[LinkStore]:
    """Open a store with its tables."""
    store = LinkStore(database_url)
    store.migrate()
    yield store
    store.close()


def test_link_survives_restart(store: LinkStore, database_url: str) -> None:
    state = {"test": 115, "target": 9, "against": None, "c": 1e-05}
    snapshot = {"surrogate_logit": 0.1 + 0.2, "title": "Zahl „9“ \u0000 \U0001f600", "supporting": [{"index": 2**53}]}
    link = store.create("mnist", DIGEST, state, snapshot, MEDIA)
    store.close()
    again = LinkStore(database_url)
    again.migrate()
    found = again.get(link.id)
    assert found == link
    assert found.state == state
    assert found.snapshot == snapshot
    assert datetime.now(UTC) - found.created < timedelta(minutes=1)
    assert {name: again.media(link.id, name) for name in MEDIA} == MEDIA
    again.close()


def test_link_of_same_view_is_new_each_time(store: LinkStore) -> None:
    assert store.create("r", DIGEST, {}, {}, {}).id != store.create("r", DIGEST, {}, {}, {}).id


def test_link_identifier_has_96_random_bits(store: LinkStore) -> None:
    ids = {store.create("r", DIGEST, {}, {}, {}).id for _ in range(20)}
    assert len(ids) == 20
    assert {len(link_id) for link_id in ids} == {16}


@pytest.mark.parametrize(
    "link_id", ["", "a" * 16, "x" * 5000, "a\x00bcdefghijklmn", "'; DROP TABLE link; --", "ä" * 16, "aaaaaaaa\n"]
)
def test_link_unknown_is_not_found(store: LinkStore, link_id: str) -> None:
    with pytest.raises(NotFoundError):
        store.get(link_id)
    with pytest.raises(NotFoundError):
        store.media(link_id, "card.png")


@pytest.mark.parametrize("name", ["", "nothing.png", "a\x00b", "n" * 5000])
def test_media_unknown_are_not_found(store: LinkStore, name: str) -> None:
    link = store.create("r", DIGEST, {}, {}, MEDIA)
    with pytest.raises(NotFoundError):
        store.media(link.id, name)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", {1, 2}])
def test_link_state_without_json_form_is_refused(store: LinkStore, value: object) -> None:
    with pytest.raises(InvalidRequestError):
        store.create("r", DIGEST, {"value": value}, {}, {})
    with pytest.raises(InvalidRequestError):
        store.create("r", DIGEST, {}, {"value": [value]}, {})


def test_link_and_media_are_stored_together_or_not_at_all(store: LinkStore) -> None:
    with pytest.raises(BusyError):
        store.create("r", DIGEST, {}, {}, {"a": ("image/png", b"x"), "b": (None, b"x")})  # type: ignore[dict-item]
    link = store.create("r", DIGEST, {}, {}, {"a": ("image/png", b"x")})
    assert store.media(link.id, "a") == ("image/png", b"x")


def test_link_store_is_shared_by_threads(store: LinkStore) -> None:
    def share_and_read(number: int) -> int:
        link = store.create("r", DIGEST, {"number": number}, {}, {"m": ("text/plain", str(number).encode())})
        return int(store.get(link.id).state["number"]) + int(store.media(link.id, "m")[1])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(share_and_read, range(64))) == [2 * number for number in range(64)]


def test_ping_without_tables_is_busy_error(database_url: str) -> None:
    store = LinkStore(database_url)
    with pytest.raises(BusyError):
        store.ping()
    store.migrate()
    store.ping()
    store.close()


def test_link_store_survives_dropped_connections(store: LinkStore) -> None:
    link = store.create("r", DIGEST, {}, {}, {})
    store.close()
    assert store.get(link.id) == link


def test_link_store_without_server_is_busy_error(tmp_path: Path) -> None:
    store = LinkStore(f"postgresql://xda@/xda?host={tmp_path}")
    for call in (store.migrate, store.ping, lambda: store.get("a" * 16), lambda: store.create("r", "d", {}, {}, {})):
        with pytest.raises(BusyError, match="does not answer"):
            call()
    store.close()
