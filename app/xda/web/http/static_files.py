"""Static files: clients revalidate them, or keep them for a year if the address has the hash of the content."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from xda.web.http.conditional import IMMUTABLE, REVALIDATE

SHORTEST_HASH = 8
"""A hash of the content needs at least so many hex digits."""


class HashedStaticFiles(StaticFiles):
    """Serves a folder; ``?v=`` with the first digits of a file's SHA-256 makes its answer immutable.

    A wrong hash, such as from a page of an older release, gets the file too, but must be revalidated.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory, check_dir=False)
        self._digests: dict[tuple[str, int, int], str] = {}

    def digest(self, path: str | os.PathLike[str], stat: os.stat_result) -> str:
        """Return the SHA-256 of a file; read the file again only after a change."""
        key = (os.fspath(path), stat.st_mtime_ns, stat.st_size)
        if key not in self._digests:
            self._digests[key] = sha256(Path(path).read_bytes()).hexdigest()
        return self._digests[key]

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Answer with one file and its cache lifetime."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        query: bytes = scope["query_string"]
        asked = query.removeprefix(b"v=").decode("ascii", "replace") if query.startswith(b"v=") else ""
        current = len(asked) >= SHORTEST_HASH and self.digest(full_path, stat_result).startswith(asked)
        response.headers["Cache-Control"] = IMMUTABLE if current else REVALIDATE
        return response
