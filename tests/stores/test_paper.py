"""The store on paper answers what the scripts in a real server answer, and keeps what they keep."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antiscrape.stores.names import triple
from antiscrape.stores.wire import (
    EXCHANGE,
    PRESENT,
    SPEND,
    Asked,
    Charging,
    News,
    Rate,
    pack_exchange,
    pack_spend,
    unpack_exchange,
    unpack_spend,
)
from loadtests.keyspace import Clock, SortedSet
from loadtests.paper import PaperStore
from tests import valkeys
from tests.fuzz import times

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

EPOCH = b"{0}:epoch"
RECORDS = [b"{0}:a", b"{0}:b", b"{0}:net"]
KEEP = (600.0, 3600.0)
#: Seconds that a time of ours and of the server may differ: both count in microseconds.
HAIR = 2e-6


@pytest.fixture(scope="module")
def server() -> Iterator[redis.Redis]:
    with valkeys.single() as one:
        yield one.client()


class Pair:
    """The real server and the one on paper, told the same at the same time."""

    def __init__(self, server: redis.Redis) -> None:
        self.server = server
        self.paper = PaperStore()
        self.now = 0.0  # the shard's clock
        self.raw = 0.0  # the server's
        server.flushall()
        self.exchange(0, 0, 0.0, KEEP, [], [])

    def _run(self, script: bytes, keys: list[bytes], arguments: list[bytes]) -> bytes:
        blob = ask(self.server, "EVAL", script, len(keys), *keys, *arguments)
        assert isinstance(blob, bytes)
        (self.now,) = struct.unpack_from("<d", blob)
        kept = self.server.get(keys[0])
        assert isinstance(kept, bytes)
        _, ahead, last = struct.unpack("<ddd", kept)
        assert last == self.now
        self.raw = self.now - ahead
        return blob

    def exchange(
        self,
        worker: int,
        number: int,
        age: float,
        keep: tuple[float, float],
        lights: list[tuple[bytes, float]],
        fulls: list[News],
    ) -> None:
        names, seconds = [name for name, _ in lights], [spent for _, spent in lights]
        keys, arguments = pack_exchange(
            EPOCH, b"{0}:told:%d" % worker, number, keep, age, names, seconds, fulls
        )
        answers = [
            unpack_exchange(blob, len(lights), len(fulls))
            for blob in (
                self._run(EXCHANGE, keys, arguments),
                self.paper.exchange(keys, arguments, self.raw),
            )
        ]
        same(*answers)

    def spend(self, charges: list[Charging]) -> None:
        keys, arguments = pack_spend(charges)
        answers = [
            unpack_spend(blob, charges)
            for blob in (self._run(SPEND, keys, arguments), self.paper.spend(keys, arguments, self.raw))
        ]
        same(*answers)

    def set_back(self, seconds: float) -> None:
        """Let both have been later than their clocks are now."""
        kept = self.server.get(EPOCH)
        assert isinstance(kept, bytes)
        epoch, ahead, last = struct.unpack("<ddd", kept)
        self.server.set(EPOCH, struct.pack("<ddd", epoch, ahead, last + seconds), keepttl=True)
        clock: Clock = self.paper.get(EPOCH, self.raw)
        self.paper.put(EPOCH, clock._replace(last=last + seconds), self.raw, 1000.0)

    def compare(self) -> None:
        """See that both keep the same, and as long; of what is about to run out, nothing is said."""
        late = struct.unpack("<qq", struct.pack("<qq", *self.server.time()))
        now = late[0] + late[1] / 1e6 + 0.05
        kept = {key: entry for key, entry in self.paper.left(self.raw).items() if self.raw + entry[1] > now}
        real = set(self.server.keys("*"))
        assert set(kept) <= real
        for key, (value, left) in kept.items():
            if key == EPOCH:
                continue
            same(value_of(self.server, key), value)
            assert ask(self.server, "PEXPIRETIME", key) / 1000 == pytest.approx(self.raw + left, abs=0.1)
        assert all(self.server.pttl(key) <= 50 for key in real - set(kept))
        assert all(self.server.pttl(key) != -1 for key in real), "a key without a time to live"


def value_of(server: redis.Redis, key: bytes) -> object:
    """Return a key's value as the paper has it."""
    kind = ask(server, "TYPE", key)
    if kind == b"hash":
        return {name.decode(): float(value) for name, value in ask(server, "HGETALL", key).items()}
    if kind == b"zset":
        return {member: ask(server, "ZSCORE", key, member) for member in ask(server, "ZRANGE", key, 0, -1)}
    return int(ask(server, "GET", key))


def ask(server: redis.Redis, *command: bytes | str | int) -> Any:
    """Send a command as it stands."""
    return server.execute_command(*command)  # type: ignore[no-untyped-call]  # the client's own


def same(one: Any, other: Any) -> None:
    """See that two values agree, numbers to a microsecond."""
    if isinstance(other, SortedSet):
        assert [member for _, member in other.order] == sorted(
            other.scores, key=lambda m: (other.scores[m], m)
        )
        other = other.scores
    if isinstance(one, float | int) and isinstance(other, float | int):
        assert one == pytest.approx(other, rel=0, abs=HAIR)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            same(value, other[key])
    elif isinstance(one, tuple | list):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            same(left, right)
    else:
        assert one == other


class Told(NamedTuple):
    """One record's news, with times told from now."""

    record: int
    since: float | None
    floor: float | None
    requests: float
    banned: float
    cooled: float
    rates: list[tuple[str, float | None, float]]
    originals: list[tuple[int, float]]
    subjects: list[tuple[int, float]]

    def news(self, now: float) -> News:
        rates = {name: (name, 0.0 if low is None else now + low, more) for name, low, more in self.rates}
        return News(
            triple(RECORDS[self.record]),
            since=0.0 if self.since is None else now + self.since,
            floor=0.0 if self.floor is None else now + self.floor,
            requests=self.requests,
            banned=self.banned if self.banned <= 0 else now + self.banned,
            cooled=self.cooled if self.cooled <= 0 else now + self.cooled,
            level=3 if self.cooled > 0 else 0,
            rates=list(rates.values()),
            originals=[(one, now - ago) for one, ago in self.originals],
            subjects=[(one, now - ago) for one, ago in self.subjects],
        )


seconds = st.floats(0.0, 400.0)
ago = st.one_of(st.floats(0.0, 0.2), st.floats(0.0, 4000.0))
distinct = st.lists(st.tuples(st.integers(0, 8), ago), max_size=4)
names = st.sampled_from(["bytes 1MB/hour", "requests 600/5min"])
news = st.builds(
    Told,
    record=st.integers(0, 2),
    since=st.one_of(st.none(), st.floats(-5.0, 0.0), st.floats(1.0, 9.0)),
    floor=st.one_of(st.none(), st.floats(-10.0, 300.0)),
    requests=st.one_of(st.just(0.0), seconds),
    banned=st.sampled_from([0.0, 0.0, -1.0, 60.0, 3600.0]),
    cooled=st.sampled_from([0.0, 0.0, -1.0, 90.0]),
    rates=st.lists(st.tuples(names, st.one_of(st.none(), seconds), seconds), max_size=2),
    originals=distinct,
    subjects=distinct,
)
exchanges = st.tuples(
    st.just("exchange"),
    st.integers(0, 1),  # the worker
    st.booleans(),  # told again
    st.sampled_from([0.0, 0.1, 1.0]),  # age
    st.lists(st.tuples(st.integers(0, 2), st.one_of(st.just(0.0), seconds)), max_size=3),
    st.lists(news, max_size=2),
)
limits = st.tuples(st.sampled_from([0.0, 1.0, 2.0, 3.0]), st.sampled_from([60.0, 600.0]))
rates = st.builds(
    lambda name, amount, window: Rate(name, window / amount if amount else 0.0, window, amount),
    st.sampled_from(["r", "t:requests 2/min", "t:bytes 1MB/hour"]),
    st.sampled_from([0.0, 2.0, 5.0, 100.0]),
    st.sampled_from([60.0, 300.0]),
)
asked = st.one_of(
    st.none(),
    st.builds(Asked, st.integers(0, 6), st.just(600.0), st.lists(limits, min_size=1, max_size=2)),
)
charges = st.builds(
    Charging,
    levels=st.sampled_from(
        [
            [(triple(RECORDS[0]), 1.0), (triple(RECORDS[2]), 2.0)],
            [(triple(RECORDS[1]), 1.0), (triple(RECORDS[2]), 2.0)],
            [(triple(RECORDS[1]), 1.0)],
        ]
    ),
    requests=st.lists(rates, max_size=2, unique_by=lambda rate: rate.name),
    bytes=st.lists(rates, max_size=1),
    subject=asked,
    original=asked,
)
spends = st.tuples(st.just("spend"), st.lists(charges, min_size=1, max_size=3))
steps = st.tuples(st.just("set back"), st.sampled_from([5.0, 3600.0]))
traces = st.lists(st.one_of(exchanges, spends, exchanges, spends, steps), max_size=14)


@pytest.mark.security("I3")
@settings(
    max_examples=times(60), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(trace=traces)
def test_the_paper_does_what_the_scripts_do(server: redis.Redis, trace: list[tuple[Any, ...]]) -> None:
    pair = Pair(server)
    numbers = [0, 0]
    for kind, *told in trace:
        if kind == "exchange":
            worker, again, age, lights, fulls = told
            numbers[worker] += not again
            pair.exchange(
                worker,
                numbers[worker],
                age,
                KEEP,
                [(RECORDS[record], spent) for record, spent in lights],
                [one.news(pair.now) for one in fulls],
            )
        elif kind == "spend":
            pair.spend(told[0])
        else:
            pair.set_back(told[0])
    pair.compare()


def test_the_workers_that_live_are_counted(server: redis.Redis) -> None:
    server.flushall()
    paper = PaperStore()
    for name in (b"one", b"two", b"one"):
        count = ask(server, "EVAL", PRESENT, 1, b"workers", name, b"10000")
        now, micro = server.time()
        assert count == paper.present([b"workers"], [name, b"10000"], now + micro / 1e6)
    now, micro = server.time()
    assert paper.present([b"workers"], [b"three", b"10000"], now + 11.0) == 1
    assert ask(server, "EVAL", PRESENT, 1, b"workers", b"three", b"0") == 0
    assert server.exists(b"workers") == 0


def test_a_set_that_ran_empty_is_no_key(server: redis.Redis) -> None:
    """Otherwise the paper would keep what the server drops, and its memory would be counted wrong."""
    pair = Pair(server)
    old = Told(0, None, None, 0.0, 0.0, 0.0, [], [(1, 5000.0)], [])
    pair.exchange(0, 1, 0.0, KEEP, [], [old.news(pair.now)])
    assert server.exists(RECORDS[0] + b":o") == 0
    pair.compare()
