"""A cache of encoded answers; a run never changes, so cached answers stay right."""

from __future__ import annotations

from collections import OrderedDict

MAX_BYTES = 16_000_000
"""Holds some thousand explanations of usual length."""


class AnswerCache:
    """Bodies by entity tag; evicts the least recently used first. For the event loop only, so it needs no lock.

    Parameters
    ----------
    max_bytes : int
        Largest size of all bodies together.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._bodies: OrderedDict[str, bytes] = OrderedDict()
        self._max_bytes = max_bytes
        self.size = 0
        """Bytes of all bodies together."""

    def get(self, tag: str) -> bytes | None:
        """Return the body with a tag, or None."""
        body = self._bodies.get(tag)
        if body is not None:
            self._bodies.move_to_end(tag)
        return body

    def put(self, tag: str, body: bytes) -> None:
        """Store a body, unless it is larger than an eighth of the cache and would evict too much."""
        if tag in self._bodies or len(body) > self._max_bytes // 8:
            return
        self._bodies[tag] = body
        self.size += len(body)
        while self.size > self._max_bytes:
            self.size -= len(self._bodies.popitem(last=False)[1])
