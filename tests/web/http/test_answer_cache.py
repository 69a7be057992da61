"""The cache of encoded answers stays within its bounds and evicts the least recently used."""

from __future__ import annotations

from xda.web.http.answer_cache import AnswerCache


def test_answer_cache_stays_within_max_bytes() -> None:
    cache = AnswerCache(max_bytes=100)
    for number in range(50):
        cache.put(str(number), b"x" * 10)
        assert cache.size <= 100
    assert cache.get("49") == b"x" * 10
    assert cache.get("0") is None


def test_answer_cache_evicts_least_recently_used() -> None:
    cache = AnswerCache(max_bytes=100)
    for number in range(10):
        cache.put(str(number), b"x" * 10)
    cache.get("0")
    cache.put("new", b"x" * 10)
    assert cache.get("0") is not None
    assert cache.get("1") is None


def test_answer_cache_skips_large_and_repeated_answers() -> None:
    cache = AnswerCache(max_bytes=100)
    cache.put("large", b"x" * 13)
    assert cache.get("large") is None
    cache.put("a", b"x")
    cache.put("a", b"y")
    assert (cache.get("a"), cache.size) == (b"x", 1)
