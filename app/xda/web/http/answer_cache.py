"""The answers given most recently, encoded: a run never changes, so an answer stays right for as long as it is kept."""

from __future__ import annotations

from collections import OrderedDict

MAX_BYTES = 16_000_000
"""Some thousand explanations of usual length."""


class AnswerCache:
    """Bodies by entity tag, the least recently used forgotten first; for the event loop only, hence without a lock.

    Parameters
    ----------
    max_bytes : int
        Most bytes of all bodies together.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._bodies: OrderedDict[str, bytes] = OrderedDict()
        self._max_bytes = max_bytes
        self.size = 0
        """Bytes of all bodies together."""

    def get(self, tag: str) -> bytes | None:
        """Return the body that was kept under a tag."""
        body = self._bodies.get(tag)
        if body is not None:
            self._bodies.move_to_end(tag)
        return body

    def put(self, tag: str, body: bytes) -> None:
        """Keep a body; one larger than an eighth of the cache would push out too much and is not kept."""
        if tag in self._bodies or len(body) > self._max_bytes // 8:
            return
        self._bodies[tag] = body
        self.size += len(body)
        while self.size > self._max_bytes:
            self.size -= len(self._bodies.popitem(last=False)[1])
