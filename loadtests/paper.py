"""The shared store on paper: what the scripts in ``antiscrape/stores/lua`` do, in plain Python and at any time one likes.

A differential test (``tests/stores/test_paper.py``) holds it to the real scripts in a real server, byte strings in and byte
strings out; the properties of the exchange and the simulator then run on it, hours in seconds and without a network.
"""

from __future__ import annotations

import math
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from loadtests.keyspace import Call, Keyspace, SortedSet

if TYPE_CHECKING:
    from collections.abc import Sequence

_DAY: Final = 86_400
_LATE: Final = 1.0
_MOST: Final = 10_000
_HEADER: Final = Struct("<dddII")
_NEWS: Final = Struct("<dddddBBHH")
_ENTRY: Final = Struct("<8sd")
_DOUBLE: Final = Struct("<d")
_PAIR: Final = Struct("<dd")
_STATE: Final = Struct("<ddddBBHH")
_RATE: Final = Struct("<ddd")
_OUTCOME: Final = Struct("<BBBd")


class PaperStore(Keyspace):
    """One server, whose clock says ``now`` and what ``set_clock`` puts on it."""

    def __init__(self) -> None:
        super().__init__()
        self._set = 0.0
        #: Script calls so far, and bytes in and out.
        self.calls = self.read = self.written = 0

    def set_clock(self, by: float) -> None:
        """Set the server's clock ``by`` seconds forward, or back."""
        self._set += by

    def left(self, now: float) -> dict[bytes, tuple[Any, float]]:
        """Return all that is kept, each with the seconds it has yet to live."""
        return super().left(now + self._set)

    def exchange(self, keys: Sequence[bytes], arguments: Sequence[bytes], now: float) -> bytes:
        """Do what ``exchange.lua`` does, and answer what it answers."""
        return self._count(_Exchange(self, keys, arguments, now + self._set).answer(), keys, arguments)

    def spend(self, keys: Sequence[bytes], arguments: Sequence[bytes], now: float) -> bytes:
        """Do what ``spend.lua`` does, and answer what it answers."""
        return self._count(_Spending(self, keys, now + self._set).answer(arguments), keys, arguments)

    def present(self, keys: Sequence[bytes], arguments: Sequence[bytes], now: float) -> int:
        """Do what ``present.lua`` does: note that a worker lives, and return how many do."""
        now += self._set
        milliseconds, gone = math.floor(now * 1000), int(arguments[1])
        workers = self.sorted_set(keys[0], now)
        workers.scores.pop(arguments[0], None)
        workers.order = sorted((score, name) for name, score in workers.scores.items())
        workers.add(arguments[0], milliseconds)
        workers.remove_until(milliseconds - gone)
        self.expire(keys[0], now, gone / 1000)
        return len(workers.scores)

    def _count(self, answer: bytes, keys: Sequence[bytes], arguments: Sequence[bytes]) -> bytes:
        self.calls += 1
        self.read += sum(map(len, keys)) + sum(map(len, arguments))
        self.written += len(answer)
        return answer


class _Exchange(Call):
    def __init__(
        self, store: PaperStore, keys: Sequence[bytes], arguments: Sequence[bytes], server: float
    ) -> None:
        super().__init__(store, keys, server)
        self.keep_originals, self.keep_subjects, self.age, self.lights, self.fulls = _HEADER.unpack(
            arguments[0]
        )
        number = int(arguments[1])
        self.again = (store.get(keys[1], server) or 0) >= number
        if not self.again:
            store.put(keys[1], number, server, _DAY)
        self.arguments = arguments

    def spent(self, tat: float, seconds: float) -> float:
        if self.again or seconds <= 0:
            return tat
        moved: float = max(tat, self.now - self.age) + seconds
        return moved

    def answer(self) -> bytes:
        out = [_PAIR.pack(self.now, self.epoch)]
        seconds = _DOUBLE.iter_unpack(self.arguments[2])
        out += [self.light(key, spent) for key, (spent,) in zip(self.keys[2:], seconds, strict=False)]
        for i in range(self.fulls):
            base = 2 + self.lights + 3 * i
            out.append(self.full(self.keys[base : base + 3], self.arguments[3 + i]))
        return b"".join(out)

    def light(self, key: bytes, seconds: float) -> bytes:
        held = self.store.get(key, self.server) or {}
        known = held.get("r", 0.0)
        tat = self.spent(known, seconds)
        if tat != known:
            self.store.hash(key, self.server)["r"] = tat
            self.expire(key, max(tat, held.get("x", 0.0)))
        return _PAIR.pack(tat, held.get("n", 0.0))

    def full(self, keys: Sequence[bytes], argument: bytes) -> bytes:
        held: dict[str, float] = self.store.get(keys[0], self.server) or {}
        since, floor, seconds, banned, cooled, level, rates, n_originals, n_subjects = _NEWS.unpack_from(
            argument
        )
        at = _NEWS.size
        news: dict[str, float] = {}
        tat = self.spent(max(held.get("r", 0.0), floor), seconds)
        if tat != held.get("r", 0.0):
            news["r"] = tat
        changed, at = self.rates(held, news, argument, at, rates)
        changed = _barred(held, news, banned, cooled, level) or changed
        added, late, at = self.add(keys[1], argument, at, n_originals, self.keep_originals, later=floor > 0)
        added2, late2, at = self.add(keys[2], argument, at, n_subjects, self.keep_subjects, later=floor > 0)
        changed = changed or added or added2
        if late or late2:
            news["f"] = self.now
        if changed:
            news["n"] = self.now
        if news:
            held = self.store.hash(keys[0], self.server)
            ends = [held.get("x", 0.0), *[news[name] for name in news if name not in {"r", "l"}]]
            held.update(news)
            if changed:
                ends.append(self.now + max(self.keep_originals, self.keep_subjects))
                held["x"] = max(ends)
            self.expire(keys[0], max(tat, *ends))
        return self.state(keys, held, since, tat)

    def rates(
        self, held: dict[str, float], news: dict[str, float], argument: bytes, at: int, count: int
    ) -> tuple[bool, int]:
        changed = False
        for _ in range(count):
            size = argument[at]
            name = "t:" + argument[at + 1 : at + 1 + size].decode()
            low, more = _PAIR.unpack_from(argument, at + 1 + size)
            at += 1 + size + _PAIR.size
            known = held.get(name, 0.0)
            moved = self.spent(max(known, low), more)
            if moved > known:
                news[name] = moved
                changed = True
        return changed, at

    def add(
        self, key: bytes, argument: bytes, at: int, count: int, keep: float, *, later: bool
    ) -> tuple[bool, bool, int]:
        added = late = False
        if count:
            members = self.store.sorted_set(key, self.server)
        for _ in range(count):
            name, charged = _ENTRY.unpack_from(argument, at)
            at += _ENTRY.size
            if members.add(name, charged, later=later):
                added = True
                late = late or self.now - charged > _LATE
        self.trim(key, self.now - keep)
        if count and self.members(key) is not None:
            self.expire(key, self.now + keep)
        return added, late, at

    def state(self, keys: Sequence[bytes], held: dict[str, float], since: float, tat: float) -> bytes:
        names = [(name[2:].encode(), value) for name, value in held.items() if name.startswith("t:")]
        parts = [bytes([len(name)]) + name + _DOUBLE.pack(value) for name, value in names]
        begin = since - _LATE if 0 < since <= self.now and since >= held.get("f", 0.0) else -math.inf
        listed = []
        for key in keys[1:]:
            members = self.members(key)
            found = members.above(begin)[:_MOST] if members is not None else []
            parts += [_ENTRY.pack(name, charged) for charged, name in found]
            listed.append(len(found))
        told = [tat, *[held.get(name, 0.0) for name in ("n", "b", "c")], int(held.get("l", 0)), len(names)]
        return _STATE.pack(*told, *listed) + b"".join(parts)


def _barred(held: dict[str, float], news: dict[str, float], banned: float, cooled: float, level: int) -> bool:
    """Note a ban and a cooling where they are later than what is known, or taken back."""
    if banned < 0:
        news["b"] = 0.0
    elif banned > held.get("b", 0.0):
        news["b"] = banned
    if cooled < 0:
        news["c"] = news["l"] = 0.0
    elif cooled > held.get("c", 0.0):
        news["c"], news["l"] = cooled, float(level)
    return "b" in news or "c" in news


class _Rate(NamedTuple):
    name: str
    interval: float
    window: float
    amount: float


class _Refused(NamedTuple):
    place: int
    level: int
    wait: float


class _Level(NamedTuple):
    factor: float
    record: bytes
    originals: bytes
    subjects: bytes


class _Spending(Call):
    def answer(self, arguments: Sequence[bytes]) -> bytes:
        out, first = [_DOUBLE.pack(self.now)], 1
        for argument in arguments:
            count, at = argument[0], 1
            levels = []
            for _ in range(count):
                (factor,) = _DOUBLE.unpack_from(argument, at)
                levels.append(_Level(factor, *self.keys[first : first + 3]))
                at, first = at + _DOUBLE.size, first + 3
            budget, refused = self.charge(levels, argument, at)
            out.append(_OUTCOME.pack(budget, *refused))
            out += [_DOUBLE.pack(self.held(level).get("r", 0.0)) for level in levels]
        return b"".join(out)

    def charge(self, levels: list[_Level], argument: bytes, at: int) -> tuple[int, _Refused]:
        requests, at = _read_rates(argument, at)
        sent, at = _read_rates(argument, at)
        subject, at = _read_distinct(argument, at)
        original, at = _read_distinct(argument, at)
        refused = self.spend_rates(levels, requests)
        if refused:
            return 1, refused
        if subject and (refused := self.spend_distinct(levels, subject, [one.subjects for one in levels])):
            return 4, refused
        if sent and (refused := self.full_rates(levels, sent)):
            return 2, refused
        if original and (refused := self.spend_distinct(levels, original, [one.originals for one in levels])):
            return 3, refused
        return 0, _Refused(0, 1, 0.0)

    def held(self, level: _Level) -> dict[str, float]:
        return self.store.get(level.record, self.server) or {}

    def spend_rates(self, levels: list[_Level], rates: list[_Rate]) -> _Refused | None:
        moved: list[dict[str, float]] = []
        for number, level in enumerate(levels, 1):
            held, worst, place = self.held(level), 0.0, 0
            moved.append({})
            for i, rate in enumerate(rates, 1):
                tat = max(held.get(rate.name, 0.0), self.now) + rate.interval / level.factor
                wait = tat - self.now - rate.window if rate.amount else rate.window
                if wait > worst:
                    worst, place = wait, i
                moved[-1][rate.name] = tat
            if place:
                return _Refused(place, number, worst)
        for level, tats in zip(levels, moved, strict=True):
            for name, tat in tats.items():
                held = self.store.hash(level.record, self.server)
                held[name] = tat
                if name != "r":
                    held["x"] = max(held.get("x", 0.0), tat)
            self.keep(level)
        return None

    def keep(self, level: _Level) -> None:
        held = self.held(level)
        self.expire(level.record, max(held.get("r", 0.0), held.get("x", 0.0)))

    def full_rates(self, levels: list[_Level], rates: list[_Rate]) -> _Refused | None:
        for number, level in enumerate(levels, 1):
            for i, rate in enumerate(rates, 1):
                ahead = self.held(level).get(rate.name, 0.0) - self.now
                if not rate.amount or ahead >= rate.window:
                    return _Refused(i, number, max(ahead - rate.window, rate.interval / level.factor))
        return None

    def spend_distinct(self, levels: list[_Level], asked: _Asked, sets: list[bytes]) -> _Refused | None:
        fresh = []
        for number, (level, key) in enumerate(zip(levels, sets, strict=True), 1):
            self.trim(key, self.now - asked.keep)
            members = self.members(key) or SortedSet()
            if asked.name in members.scores:
                if number == 1:
                    return None
                continue
            fresh.append((level, key))
            longest, place = 0.0, 0
            for i, (amount, window) in enumerate(asked.limits, 1):
                most = min(math.floor(amount * level.factor), _MOST)
                if len(members.above(self.now - window)) >= most:
                    wait = members.order[-most][0] + window - self.now if most else window
                    if wait > longest:
                        longest, place = wait, i
            if place:
                return _Refused(place, number, longest)
        for level, key in fresh:
            self.store.sorted_set(key, self.server).add(asked.name, self.now)
            self.expire(key, self.now + asked.keep)
            held = self.store.hash(level.record, self.server)
            held["n"], held["x"] = self.now, max(held.get("x", 0.0), self.now + asked.keep)
            self.keep(level)
        return None


class _Asked(NamedTuple):
    name: bytes
    keep: float
    limits: list[tuple[float, float]]


def _read_rates(argument: bytes, at: int) -> tuple[list[_Rate], int]:
    count, at, rates = argument[at], at + 1, []
    for _ in range(count):
        end = at + 1 + argument[at]
        rates.append(_Rate(argument[at + 1 : end].decode(), *_RATE.unpack_from(argument, end)))
        at = end + _RATE.size
    return rates, at


def _read_distinct(argument: bytes, at: int) -> tuple[_Asked | None, int]:
    count, at = argument[at], at + 1
    if not count:
        return None, at
    name, keep = _ENTRY.unpack_from(argument, at)
    end = at + _ENTRY.size + _PAIR.size * count
    return _Asked(name, keep, list(_PAIR.iter_unpack(argument[at + _ENTRY.size : end]))), end
