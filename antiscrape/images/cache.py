"""Finished renditions, kept by their source's digest while there is room for their bytes."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from antiscrape.ports import Rendered

#: What an entry costs beside its body: the key, the tuple, three strings, two links (measured with sys.getsizeof).
ENTRY_BYTES = 600


def digest(source: bytes) -> bytes:
    """Return 16 bytes that name ``source``; a cryptographic hash, so that nobody makes two share a rendition.

    SHA-256 has instructions of its own in today's processors, and takes less than half of BLAKE2b's time.
    """
    return hashlib.sha256(source).digest()[:16]


class RenditionCache:
    """The least recently used go first when ``room`` bytes are full; ``room`` 0 keeps nothing."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._held = 0
        self._entries: OrderedDict[bytes, Rendered] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def held(self) -> int:
        """Bytes that the entries cost together."""
        return self._held

    def get(self, key: bytes) -> Rendered | None:
        """Return what is kept under ``key`` and make it the most recently used."""
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    def put(self, key: bytes, rendered: Rendered) -> None:
        """Keep ``rendered``, unless it alone would take more than an eighth of the room."""
        cost = len(rendered.body) + ENTRY_BYTES
        if cost > self._room // 8:
            return
        former = self._entries.pop(key, None)
        if former is not None:
            self._held -= len(former.body) + ENTRY_BYTES
        self._entries[key] = rendered
        self._held += cost
        while self._held > self._room:
            _, oldest = self._entries.popitem(last=False)
            self._held -= len(oldest.body) + ENTRY_BYTES
