"""What becomes of budgets and bans when the store is wiped, its clock is set, the network parts, or it is away for an hour."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core.budgets import parse_limits
from antiscrape.core.identity import Principal
from antiscrape.core.verdict import Standing
from loadtests.fleet import Fleet, Flight, Lost
from tests.fleets import CLIENT, FREE, SMALL, charge, image, page, visit
from tests.house import policy_of

POLICY = policy_of().standings
BROWSER = POLICY[Standing.BROWSER]
HOUR = 3600.0
GOOD = [Principal(f"198.51.100.{number}", f"198.51.{number}.0/24", "") for number in range(20)]


def browse(fleet: Fleet, clients: list[Principal], seconds: float, *, sticky: bool = False) -> float:
    """Let clients ask for a page every second for a while; return the share that was refused."""
    chance, asked, refused = random.Random(4), 0, 0
    end = fleet.now + seconds
    while fleet.now < end:
        fleet.run_until(fleet.now + 1.0)
        for number, client in enumerate(clients):
            place = number if sticky else chance.randrange(len(fleet.workers))
            asked += 1
            refused += not charge(fleet.workers[place % len(fleet.workers)], page(), client, BROWSER)
    return refused / asked


def fill(fleet: Fleet, client: Principal = CLIENT) -> int:
    """Let a client take originals from all workers in turn until each refuses it; return how many it got."""
    had, refused, number = 0, 0, int(fleet.now * 1000)
    while refused < len(fleet.workers):
        number += 1
        got = charge(fleet.workers[number % len(fleet.workers)], image(number), client, BROWSER)
        had, refused = had + got, 0 if got else refused + 1
        fleet.run_until(fleet.now + 0.05)
    fleet.settle()
    return had


@pytest.mark.security("I3")
def test_a_store_that_is_wiped_is_told_again() -> None:
    """Bans, what was had and what is owed: of all that the workers know, a newcomer knows it a few exchanges later."""
    fleet = Fleet(3, POLICY)
    banned = GOOD[0]
    first = fleet.workers[0]
    had = fill(fleet)
    assert had >= 40
    end = fleet.now + 600.0
    first.store.ban(first.store.find(banned, fleet.now), end)
    first.store.charge_bytes(first.store.find(CLIENT, fleet.now), BROWSER, 300_000_000, fleet.now)
    fleet.settle()
    fleet.paper.wipe()
    browse(fleet, GOOD[5:], 3.0)
    newcomer = fleet.add_worker()
    histories = visit(fleet)
    assert [len(history.originals or ()) for history in histories] == [had] * 4
    assert all((history.tats or {})["bytes 400MB/hour"] - fleet.now > 2600 for history in histories)
    assert not charge(newcomer, image(10**9), CLIENT, BROWSER)
    until = [history.banned_until for history in visit(fleet, banned)]
    assert until == [pytest.approx(end, abs=1.0)] * 4
    for _, left in fleet.paper.left(fleet.server_now).values():
        assert left < float("inf"), "a key without a time to live"


def test_what_is_too_much_to_be_answered_in_time_is_told_in_halves() -> None:
    """Else a store that is asked for too much at once is away for good: what is told again is as much as before."""
    fleet = Fleet(1, POLICY, pause=0.1, share=False)
    worker = fleet.workers[0]
    for number in range(2000):
        charge(worker, image(number), Principal(f"203.0.113.{number}", "203.0.113.0/24", ""), FREE)
    told = [0]

    def flight(_worker: int, _now: float) -> Flight:
        told.append(worker.told["lights"] + worker.told["fulls"])
        return Flight(lost=Lost.ANSWER if told[-1] - told[-2] > 300 else Lost.NOTHING)

    fleet.flight = flight
    fleet.settle()
    assert worker.exchange.idle
    assert max(now - before for before, now in pairwise(told)) > 1000
    assert all(history.seen for history in worker.store.records.values())


@pytest.mark.parametrize("by", [HOUR, -HOUR, 100.0, -100.0])
def test_a_clock_that_is_set_locks_nobody_out_and_forgets_no_ban(by: float) -> None:
    """An administrator, or another server that takes over: NTP makes smaller steps."""
    fleet = Fleet(3, POLICY)
    first = fleet.workers[0]
    banned = GOOD[0]
    browse(fleet, GOOD[5:], 30.0)
    had = fill(fleet)
    end = fleet.now + 600.0
    first.store.ban(first.store.find(banned, fleet.now), end)
    first.store.charge_bytes(first.store.find(GOOD[1], fleet.now), BROWSER, 1000, fleet.now)
    several = replace(BROWSER, requests=parse_limits("60/min, 600/hour"))
    assert charge(first, page(), GOOD[2], several)
    fleet.settle()

    fleet.paper.set_clock(by)
    assert browse(fleet, GOOD[5:], 5.0) == 0.0
    newcomer = fleet.add_worker()
    for worker in fleet.workers:
        assert charge(worker, image(1), GOOD[1], BROWSER)
        assert charge(worker, page(), GOOD[2], several)
    fleet.settle()
    assert charge(newcomer, image(2), GOOD[1], BROWSER), "it had sent a thousand bytes of 400 million"
    assert charge(newcomer, page(), GOOD[2], several)
    until = [history.banned_until - fleet.now for history in visit(fleet, banned)]
    assert until == [pytest.approx(600.0, abs=15.0)] * 4
    # what was had counts on, and no longer than its ten minutes
    assert [len(history.originals or ()) for history in visit(fleet)] == [had] * 4
    assert not charge(newcomer, image(10**9), CLIENT, BROWSER)
    fleet.run_until(fleet.now + 610.0)
    assert charge(newcomer, image(10**9), CLIENT, BROWSER)
    assert charge(first, image(10**9 + 1), CLIENT, BROWSER)


@pytest.mark.security("I3")
@given(seed=st.integers(0, 10**6), split=st.sampled_from([Lost.CALL, Lost.ANSWER]))
def test_two_nodes_that_were_parted_for_half_a_minute_agree_again(seed: int, split: Lost) -> None:
    """Fault 32: each holds clients to its share meanwhile; then both know all that either knew, and no ban is lost."""
    chance = random.Random(seed)
    parted = [False]
    fleet = Fleet(
        2, POLICY, flight=lambda worker, _now: Flight(lost=split if parted[0] and worker else Lost.NOTHING)
    )
    one, other = fleet.workers
    browse(fleet, GOOD, 3.0)
    parted[0] = True
    had: set[int] = set()
    banned = {one: GOOD[0], other: GOOD[1]}
    for second in range(30):
        fleet.run_until(fleet.now + 1.0)
        for worker in fleet.workers:
            thing = chance.randrange(10**6)
            if charge(worker, image(thing), CLIENT, BROWSER):
                had.add(thing)
            charge(worker, page(), CLIENT, BROWSER)
        if second == chance.randrange(30):
            for worker, client in banned.items():
                worker.store.ban(worker.store.find(client, fleet.now), fleet.now + 300.0)
    for worker, client in banned.items():
        worker.store.ban(worker.store.find(client, fleet.now), fleet.now + 300.0)
    parted[0] = False
    fleet.settle()
    assert len(had) <= 40 + 20, "the share of the one that is alone, beside the other's limit"
    for history in visit(fleet):
        assert set(history.originals or ()) == had
    tats = [max(history.tat, fleet.now) for history in visit(fleet)]
    assert tats[0] == pytest.approx(tats[1], abs=2.0)
    for client in banned.values():
        assert all(history.banned_until > fleet.now + 250.0 for history in visit(fleet, client))


@pytest.mark.parametrize("sticky", [True, False])
@pytest.mark.parametrize("lost", [Lost.CALL, Lost.ANSWER])
def test_an_hour_without_the_store_limits_nobody_afterwards(lost: Lost, *, sticky: bool) -> None:
    """Who asks at half the rate all the time is refused neither while the store is away nor after."""
    away = [False]
    fleet = Fleet(4, POLICY, pause=4.0, flight=lambda *_: Flight(lost=lost if away[0] else Lost.NOTHING))
    assert browse(fleet, GOOD[:8], 60.0, sticky=sticky) == 0.0
    away[0] = True
    alone = browse(fleet, GOOD[:8], HOUR, sticky=sticky)
    # Whoever always comes to the same worker has that worker's quarter of the limit: 0.5 a second of the 1 it asks for.
    assert alone <= (0.51 if sticky else 0.0)
    away[0] = False
    fleet.run_until(fleet.now + 4.0)
    assert browse(fleet, GOOD[:8], 600.0, sticky=sticky) == 0.0
    fleet.settle()
    for client in GOOD[:8]:
        for history in visit(fleet, client):
            assert history.tat - fleet.now < 150.0, (
                "half of the window is free for a page with all that it shows"
            )


def test_who_spends_all_while_the_store_is_away_owes_it_afterwards() -> None:
    """What is earned back is not told; what a harvester took in the last seconds is, however early it came first."""
    away = [False]
    fleet = Fleet(4, POLICY, pause=4.0, flight=lambda *_: Flight(lost=Lost.CALL if away[0] else Lost.NOTHING))
    browse(fleet, [CLIENT], 1.0)
    away[0] = True
    browse(fleet, [CLIENT], 20.0)
    fleet.run_until(fleet.now + 3000.0)
    got = 0
    for _ in range(100):
        fleet.run_until(fleet.now + 0.1)
        for worker in fleet.workers:
            got += sum(charge(worker, page(), CLIENT, BROWSER) for _ in range(5))
    assert 600 <= got <= 600 + 25, "each worker a quarter: together one limit, and what ten seconds earn"
    away[0] = False
    fleet.settle()
    newcomer = fleet.add_worker()
    assert charge(newcomer, page(), CLIENT, BROWSER)
    fleet.settle()
    assert newcomer.store.find(CLIENT, fleet.now).tat - fleet.now == pytest.approx(300.0 - 5.0, abs=10.0)


def test_after_an_outage_those_in_use_go_first() -> None:
    """Ten thousand clients came meanwhile, more than one exchange tells; whoever comes now is known after the next."""
    away = [True]
    fleet = Fleet(2, POLICY, flight=lambda *_: Flight(lost=Lost.CALL if away[0] else Lost.NOTHING))
    one, other = fleet.workers
    charge(one, page(), GOOD[0], BROWSER)
    fleet.run_until(fleet.now + 0.2)
    for number in range(10_000):
        charge(one, page(), Principal(f"c{number}", f"n{number}", ""), BROWSER)
    away[0] = False
    while one.told["lights"] < 4000:
        fleet.run_until(fleet.now + 0.01)
    charge(one, image(1), CLIENT, BROWSER)
    fleet.run_until(fleet.now + fleet.interval)
    charge(other, page(), CLIENT, BROWSER)
    fleet.run_until(fleet.now + fleet.interval)
    assert one.exchange.waiting > 1000
    assert set(other.store.find(CLIENT, fleet.now).originals or ()) == {1}


def test_many_records_are_told_again_without_holding_up_those_in_use() -> None:
    """After a wipe a worker tells hundreds of records an exchange; what is charged meanwhile goes with the next, as always."""
    fleet = Fleet(2, POLICY, rollup_factor=1000.0)
    one, other = fleet.workers
    crowd = [Principal(f"c{number}", f"n{number}", "") for number in range(5000)]
    for number, client in enumerate(crowd):
        charge(one, image(number), client, BROWSER)
    fleet.settle()
    fleet.paper.wipe()
    told = one.told["fulls"]
    charge(one, page(), CLIENT, BROWSER)
    fleet.run_until(fleet.now + 0.25)
    assert one.exchange.waiting > 4000
    assert one.told["fulls"] < told + 3 * 512, (
        "the server answers nobody else meanwhile, and all workers tell"
    )
    assert charge(one, image(1), CLIENT, BROWSER)
    fleet.run_until(fleet.now + 0.1)
    assert charge(other, page(), CLIENT, BROWSER)
    fleet.run_until(fleet.now + 0.1)
    assert set(other.store.find(CLIENT, fleet.now).originals or ()) == {1}
    fleet.settle()
    assert other.store.find(crowd[0], fleet.now).originals is None
    assert charge(other, page(), crowd[0], BROWSER)
    fleet.settle()
    assert set(other.store.find(crowd[0], fleet.now).originals or ()) == {0}


def test_a_store_that_is_away_for_days_holds_no_client_that_was_dropped() -> None:
    """The memory of a worker is bounded by ``max_principals`` even when nothing can be told."""
    fleet = Fleet(
        2, {Standing.BROWSER: SMALL}, pause=0.5, flight=lambda *_: Flight(lost=Lost.CALL), max_principals=2000
    )
    worker = fleet.workers[0]
    for number in range(60_000):
        charge(worker, page(), Principal(f"c{number}", f"n{number % 50}", ""), FREE)
        if not number % 100:
            fleet.run_until(fleet.now + 1.0)
    fleet.run_until(fleet.now + 5.0)
    assert worker.exchange.waiting <= 2 * 4096 + 2 * 2000
