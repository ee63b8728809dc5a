"""A key-value server on paper: hashes, sorted sets, time to live, and the shard's clock that ``lua/clock.lua`` keeps."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_YEAR_2023: Final = 1_700_000_000
_MONTH: Final = 2_764_800


class SortedSet:
    """Members by score, in the order of scores: what ``ZADD`` and its kin work on."""

    __slots__ = ("order", "scores")

    def __init__(self) -> None:
        self.scores: dict[bytes, float] = {}
        self.order: list[tuple[float, bytes]] = []

    def add(self, member: bytes, score: float, *, later: bool = False) -> bool:
        """Add a member where it is new, or ``later`` than it was; tell whether anything changed."""
        known = self.scores.get(member)
        if known is not None:
            if not later or score <= known:
                return False
            del self.order[bisect_left(self.order, (known, member))]
        self.scores[member] = score
        insort(self.order, (score, member))
        return True

    def remove_until(self, score: float) -> None:
        """Remove what has at most that score."""
        end = bisect_right(self.order, score, key=_score)
        for _, member in self.order[:end]:
            del self.scores[member]
        del self.order[:end]

    def above(self, score: float) -> list[tuple[float, bytes]]:
        """Return what has more than that score."""
        return self.order[bisect_right(self.order, score, key=_score) :]


def _score(entry: tuple[float, bytes]) -> float:
    return entry[0]


class Keyspace:
    """What a server keeps. ``now`` is its clock, in seconds since 1970."""

    def __init__(self) -> None:
        self._values: dict[bytes, Any] = {}
        self._ends: dict[bytes, float] = {}

    def wipe(self) -> None:
        """Forget everything: FLUSHALL, or a server that starts empty."""
        self._values.clear()
        self._ends.clear()

    def left(self, now: float) -> dict[bytes, tuple[Any, float]]:
        """Return all that is kept, each with the seconds it has yet to live."""
        for key in [key for key, end in self._ends.items() if end <= now]:
            del self._values[key], self._ends[key]
        return {key: (value, self._ends[key] - now) for key, value in self._values.items()}

    def get(self, key: bytes, now: float) -> Any:
        """Return the value of a key, None where there is none or it ran out."""
        end = self._ends.get(key)
        if end is None:
            return None
        if end <= now:
            del self._values[key], self._ends[key]
            return None
        return self._values[key]

    def put(self, key: bytes, value: Any, now: float, seconds: float) -> None:
        """Keep a value for some seconds."""
        self._values[key], self._ends[key] = value, now + seconds

    def hash(self, key: bytes, now: float) -> dict[str, float]:
        """Return a hash to be written to."""
        value: dict[str, float] | None = self.get(key, now)
        if value is None:
            value = {}
            self.put(key, value, now, math.inf)
        return value

    def sorted_set(self, key: bytes, now: float) -> SortedSet:
        """Return a sorted set to be written to."""
        value: SortedSet | None = self.get(key, now)
        if value is None:
            value = SortedSet()
            self.put(key, value, now, math.inf)
        return value

    def expire(self, key: bytes, now: float, seconds: float) -> None:
        """Let a key run out ``seconds`` from now."""
        if key in self._ends:
            self._ends[key] = now + seconds


class Clock(NamedTuple):
    """What ``lua/clock.lua`` keeps beside the epoch: how far ahead of the server it is, and how late it was."""

    epoch: float
    ahead: float
    last: float


class Call:
    """One script call: the server's clock, and the shard's (``clock.lua``)."""

    def __init__(self, store: Keyspace, keys: Sequence[bytes], server: float) -> None:
        self.store, self.keys, self.server = store, keys, server
        seconds = math.floor(server)
        kept: Clock | None = store.get(keys[0], server)
        ahead = kept.ahead if kept is not None else float(-_YEAR_2023 if seconds > _YEAR_2023 else 0)
        last = kept.last if kept is not None else 0.0
        now = seconds + ahead + round((server - seconds) * 1e6) / 1e6
        if now <= last:
            ahead = ahead + last + 1e-6 - now  # in the order of the script: to the last bit
            now = last + 1e-6
        self.now, self.epoch = now, kept.epoch if kept is not None else now
        store.put(keys[0], Clock(self.epoch, ahead, now), server, _MONTH)

    def expire(self, key: bytes, at: float) -> None:
        """Let a key run out a second after ``at`` on the shard's clock."""
        self.store.expire(key, self.server, math.ceil((max(at - self.now, 0.0) + 1) * 1000) / 1000)

    def members(self, key: bytes) -> SortedSet | None:
        """Return a sorted set, if there is one."""
        members: SortedSet | None = self.store.get(key, self.server)
        return members

    def trim(self, key: bytes, until: float) -> None:
        """Remove what was charged until then, and the key with the last of it."""
        members = self.members(key)
        if members is not None:
            members.remove_until(until)
            if not members.order:
                self.store.expire(key, self.server, 0.0)
