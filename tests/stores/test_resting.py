"""What rests in a worker's journals: no more than may, no longer than it has to, and in nobody's way."""

from __future__ import annotations

import os

import pytest

from antiscrape.core.budgets import parse_limits
from antiscrape.core.identity import Principal
from antiscrape.core.journal import DUE
from antiscrape.core.verdict import Standing
from antiscrape.stores.exchange import Exchange
from antiscrape.stores.names import Names
from antiscrape.stores.shared import REST, SharedStore
from antiscrape.stores.strict import StrictStore
from loadtests.paper import PaperStore
from tests.fleets import CLIENT
from tests.house import Clock, policy_of

POLICY = policy_of()
BROWSER = POLICY.standings[Standing.BROWSER]
CROWD = [Principal(f"10.0.{n // 256}.{n % 256}", f"10.0.{n // 256}.0/24", "") for n in range(1000)]
#: Records of one exchange, where more are to wait.
MOST = 512
SERVER = 1_700_000_000.0


class Told:
    """One worker before a server on paper; ``failing`` are shards that do not answer."""

    def __init__(self, clock: Clock, paper: PaperStore, *, shards: int = 1) -> None:
        self.clock = clock
        self.paper = paper
        self.store = SharedStore(
            clock=clock.monotonic,
            origin=os.urandom(8),
            max_principals=10_000,
            rollup_factor=20.0,
            standings=POLICY.standings,
        )
        self.exchange = Exchange(self.store, Names(b"k" * 32, "site", shards=shards))
        self.failing: set[int] = set()
        self.told = [0] * shards

    def tell(self) -> None:
        now = self.clock.monotonic()
        for one in self.exchange.collect(now):
            if one.shard in self.failing:
                self.exchange.failed((one,))
                continue
            blob = self.paper.exchange(one.keys, one.arguments, SERVER + now)
            self.exchange.apply(one, blob, now, now)
            self.told[one.shard] += len(one.lights) + len(one.fulls)

    def ask(self, client: Principal, limit: str) -> bool:
        now = self.clock.monotonic()
        history = self.store.find(client, now)
        return self.store.charge_request(history, parse_limits(limit)[0], now) is None


@pytest.mark.security("I4")
def test_bytes_make_no_more_room_for_requests() -> None:
    worker = Told(clock := Clock(), PaperStore())
    assert worker.ask(CLIENT, "600/5min")
    worker.tell()
    worker.store.rests = 1 / 64
    history = worker.store.find(CLIENT, clock.monotonic())
    worker.store.charge_bytes(history, BROWSER, 1000, clock.monotonic())
    assert history.journal is not None
    briefest = min(limit.window for row in POLICY.standings.values() for limit in row.requests)
    assert history.journal.room == briefest / 64


def test_the_room_is_that_of_the_briefest_limit_of_any_standing() -> None:
    worker = Told(clock := Clock(), PaperStore())
    assert worker.ask(CLIENT, "600000/day")
    worker.tell()
    worker.store.rests = 1 / 64
    assert worker.ask(CLIENT, "600000/day")
    history = worker.store.find(CLIENT, clock.monotonic())
    assert history.journal is not None
    assert history.journal.room <= 300.0 / 64


@pytest.mark.security("I3")
def test_a_shard_that_does_not_answer_holds_up_no_other() -> None:
    worker = Told(clock := Clock(), PaperStore(), shards=2)
    for turn in range(40):
        for client in CROWD:
            worker.ask(client, "600/5min")
        worker.failing = {0} if turn >= 3 else set()
        before = worker.told[1]
        worker.tell()
        assert worker.told[1] - before > 200, "of the thousand, a quarter at least are the good shard's"
        clock.tick(0.5)
    worker.failing = set()
    for _ in range(60):
        worker.tell()
        clock.tick(0.5)
    assert worker.exchange.idle


@pytest.mark.security("I4")
@pytest.mark.parametrize("overloaded", [2.5, 4.5, 6.5])
def test_what_was_just_spent_is_not_told_as_old_however_long_others_wait(
    overloaded: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("antiscrape.stores.exchange._MOST", MOST)  # an eighth, and so of the crowd
    clock, paper = Clock(), PaperStore()
    one, other = Told(clock, paper), Told(clock, paper)
    for worker in (one, other):
        worker.ask(CLIENT, "20/2s")
        worker.tell()
        worker.tell()
    crowd = [Principal(f"10.1.{n // 256}.{n % 256}", "", "") for n in range(MOST * 3 // 2)]
    turns, got = int(overloaded * 10), 0
    for turn in range(turns + 2):
        for n in range(MOST * 5 // 4):
            one.ask(crowd[(MOST * 5 // 4 * turn + n) % len(crowd)], "20/2s")
        if turn == turns:
            while one.ask(CLIENT, "20/2s"):
                got += 1
        one.tell()
        clock.tick(0.1)
    assert got == 20
    other.ask(CLIENT, "20/2s")
    other.tell()
    other.tell()
    assert sum(other.ask(CLIENT, "20/2s") for _ in range(20)) <= 3


def test_what_rests_is_told_after_a_while_though_others_are_due_all_the_time() -> None:
    worker = Told(clock := Clock(), PaperStore())
    worker.ask(CLIENT, "600/5min")
    worker.tell()
    worker.tell()
    worker.store.rests = 1 / 16
    assert worker.ask(CLIENT, "600/5min")
    assert [len(bed.purses) for bed in worker.store.resting] == [2]
    worker.store.rests = 0.0
    for _ in range(int(REST / 0.5) + 2):
        for client in CROWD:
            worker.ask(client, "600/5min")
        worker.tell()
        clock.tick(0.5)
    assert not worker.store.resting
    assert worker.store.find(CLIENT, clock.monotonic()).journal is None


def test_nothing_rests_in_a_strict_store() -> None:
    clock = Clock()
    store = StrictStore(
        clock=clock.monotonic,
        origin=b"12345678",
        max_principals=100,
        rollup_factor=20.0,
        standings=POLICY.standings,
    )
    store.rests = 1 / 16
    history = store.find(CLIENT, clock.monotonic())
    history.name = b"told before"
    store.charge_bytes(history, BROWSER, 1000, clock.monotonic())
    assert not store.resting
    assert history.journal is not None
    assert history.journal.room == DUE
    assert history in store.touched
