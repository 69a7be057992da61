"""Shared links: each has an unguessable identifier, the exact run, the state of the view and a snapshot of it.

The snapshot and the media make a link self-contained: it shows the same after the run was rebuilt or removed.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from xda.errors import InvalidRequestError, NotFoundError
from xda.storage.database.engine import (
    LinkMediaRow,
    LinkRow,
    connect,
    database_errors,
    parse_url,
    ping,
    upgrade,
    written,
)

_ID = re.compile(r"[A-Za-z0-9_-]{8,32}")


@dataclass(frozen=True, slots=True)
class Link:
    """One shared link."""

    id: str
    created: datetime
    """Time of sharing, aware, in UTC."""
    run_id: str
    run_digest: str
    """Digest of the run's manifest when the link was made."""
    state: dict[str, Any]
    """State from which the page opens the same view."""
    snapshot: dict[str, Any]
    """The shown explanation."""


class LinkStore:
    """The links in a database; safe for several threads and processes.

    Parameters
    ----------
    url : str
        ``sqlite:///file`` or ``postgresql://user:password@host/name``; nothing is connected until the first call.

    Raises
    ------
    ConfigError
        The URL cannot be used.
    """

    def __init__(self, url: str) -> None:
        self._url = parse_url(url)
        self._engine = connect(self._url)

    def migrate(self) -> None:
        """Create or upgrade the tables; safe for several processes at once.

        Raises
        ------
        ConfigError
            The database was written by a newer program.
        BusyError
            The database does not answer.
        """
        upgrade(self._engine)

    def create(
        self,
        run_id: str,
        run_digest: str,
        state: Mapping[str, Any],
        snapshot: Mapping[str, Any],
        media: Mapping[str, tuple[str, bytes]],
    ) -> Link:
        """Store a link.

        Parameters
        ----------
        run_id, run_digest : str
            The shown run.
        state, snapshot : mapping
            JSON values.
        media : mapping
            Name to (content type, content).

        Returns
        -------
        Link
            With an identifier of 96 random bits.

        Raises
        ------
        InvalidRequestError
            A value has no JSON form, such as NaN.
        BusyError
            The database does not answer, is full or read-only, or its file was deleted or replaced.
        """
        link = Link(
            id=secrets.token_urlsafe(12),
            created=datetime.now(UTC),
            run_id=run_id,
            run_digest=run_digest,
            state=dict(state),
            snapshot=dict(snapshot),
        )
        row = LinkRow(**{field.name: getattr(link, field.name) for field in fields(Link)})
        files = [
            LinkMediaRow(link_id=link.id, name=name, content_type=content_type, content=content)
            for name, (content_type, content) in media.items()
        ]
        try:
            json.dumps([link.state, link.snapshot], allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidRequestError(f"This view cannot be shared: {error}. Reload the page and try again.") from error
        with written(self._engine) as session:
            session.add(row)
            session.flush()
            session.add_all(files)
        return link

    def get(self, link_id: str) -> Link:
        """Return a link.

        Raises
        ------
        NotFoundError
            There is no such link.
        BusyError
            The database does not answer.
        """
        row = None
        if _ID.fullmatch(link_id):
            with database_errors(self._url), Session(self._engine) as session:
                row = session.get(LinkRow, link_id)
        if row is None:
            raise NotFoundError("There is no such shared link. Check that it was copied whole.")
        return Link(**{field.name: getattr(row, field.name) for field in fields(Link)})

    def media(self, link_id: str, name: str) -> tuple[str, bytes]:
        """Return the content type and the content of one of a link's media.

        Raises
        ------
        NotFoundError
            There is no such link, or it has no media of this name.
        BusyError
            The database does not answer.
        """
        row = None
        if _ID.fullmatch(link_id) and name.isprintable():
            query = select(LinkMediaRow).where(LinkMediaRow.link_id == link_id, LinkMediaRow.name == name)
            with database_errors(self._url), Session(self._engine) as session:
                row = session.scalars(query).one_or_none()
        if row is None:
            raise NotFoundError("There is no such image of a shared link. Check that the address was copied whole.")
        return row.content_type, row.content

    def ping(self) -> None:
        """Check that the database answers, has its tables, and can be written.

        Raises
        ------
        BusyError
            It does not answer, was not migrated, or is read-only.
        """
        ping(self._engine)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()
