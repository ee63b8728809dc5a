"""What is kept, and how much of it."""

from __future__ import annotations

import sys

from antiscrape.images.cache import ENTRY_BYTES, RenditionCache, digest
from antiscrape.ports import Rendered


def _rendered(size: int) -> Rendered:
    return Rendered(bytes(size), "image/jpeg", "etag")


def test_bytes_are_bounded_and_the_least_recently_used_go_first() -> None:
    cache = RenditionCache(10 * (1000 + ENTRY_BYTES))
    for number in range(10):
        cache.put(bytes([number]), _rendered(1000))
    cache.get(b"\0")
    cache.put(b"new", _rendered(1000))
    assert cache.get(b"\0") is not None
    assert cache.get(b"\1") is None
    assert (len(cache), cache.held) == (10, 10 * (1000 + ENTRY_BYTES))


def test_a_thousand_renditions_never_exceed_the_room() -> None:
    cache = RenditionCache(100_000)
    for number in range(1000):
        cache.put(digest(str(number).encode()), _rendered(number * 7 % 11_000))
        assert cache.held <= 100_000
    assert len(cache) > 5


def test_replacing_an_entry_counts_it_once() -> None:
    cache = RenditionCache(100_000)
    for size in (5000, 10, 700):
        cache.put(b"key", _rendered(size))
    assert (len(cache), cache.held) == (1, 700 + ENTRY_BYTES)


def test_one_large_rendition_does_not_empty_the_cache() -> None:
    cache = RenditionCache(80_000)
    cache.put(b"small", _rendered(100))
    cache.put(b"large", _rendered(70_000))
    assert cache.get(b"small") is not None
    assert cache.get(b"large") is None


def test_room_for_nothing_keeps_nothing() -> None:
    cache = RenditionCache(0)
    cache.put(b"key", _rendered(1))
    assert len(cache) == 0


def test_the_cost_of_an_entry_is_not_less_than_it_takes() -> None:
    rendered = Rendered(b"", "image/jpeg", "0" * 24)
    parts = (bytes(17), rendered, rendered.body, rendered.etag)
    assert (
        sum(sys.getsizeof(part) for part in parts) + 200 <= ENTRY_BYTES
    )  # 200: the ordered dictionary's link
