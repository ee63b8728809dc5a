"""The exchange: what many workers admit together, and that nothing which was spent is forgotten or counted twice.

All on ``loadtests.fleet``: the stores and exchanges that serve requests, in virtual time, around a server on paper that is
held to the real one by ``test_paper``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core.budgets import parse_limits
from antiscrape.core.verdict import Standing
from antiscrape.stores.shared import AT_REST, REST
from loadtests.fleet import TIMEOUT, Fleet, Flight, Lost
from tests.fleets import CLIENT, FREE, MAKE, SMALL, Ask, charge, excess, image, page, play, visit

if TYPE_CHECKING:
    from collections.abc import Callable

STANDINGS = {Standing.BROWSER: SMALL}
#: Of which some rest.
LARGE = replace(SMALL, requests=parse_limits("160/16s"))
gaps = st.one_of(st.just(0.0), st.floats(0.0, 0.3), st.floats(0.0, 9.0))
asks = st.lists(st.builds(Ask, gaps, st.integers(0, 5), st.integers(0, 40)), min_size=1, max_size=60)
intervals = st.sampled_from([0.1, 0.5, 2.0])
ways = st.floats(0.0, 0.1)


@pytest.mark.security("I4")
@given(
    asks=asks,
    workers=st.integers(2, 6),
    interval=intervals,
    out=ways,
    back=ways,
    kind=st.sampled_from(["originals", "subjects"]),
)
def test_distinct_things_beyond_a_budget_are_those_of_one_interval(
    asks: list[Ask], workers: int, interval: float, out: float, back: float, kind: str
) -> None:
    """In any window: the budget, and of every worker but one what arrives there within D = interval + 2 flights.

    Of all workers, let m be the one that was answered last. It had then heard of everything that the others told before,
    and admits nothing that it knows to be beyond the budget. What it has not heard of is what each other worker admitted
    after it told for the last time; that waited for less than a flight (of the exchange under way), an interval, and one
    flight more. Two workers know the server's clock to half a flight each, so the window is as much shorter.
    """
    fleet = Fleet(workers, STANDINGS, interval=interval, flight=lambda _worker, _now: Flight(out, back))
    asked, admitted = play(fleet, asks, kind)
    limit = (SMALL.originals if kind == "originals" else SMALL.subjects)[0]
    most = limit.amount + excess(asked, interval + 2 * (out + back) + 1e-6)
    for end in admitted:
        begin = end.at - limit.window + 2 * (out + back)
        assert len({one.thing for one in admitted if begin < one.at <= end.at}) <= most


@pytest.mark.parametrize("pause", [0.05, 0.3, 0.6])
def test_a_lift_outruns_what_is_under_way(pause: float) -> None:
    """The word of it arrives before an answer that was given earlier, and before the record is in the store."""
    ways = [Flight(0.01, 0.01), Flight(0.01, 0.01)]
    fleet = Fleet(2, STANDINGS, flight=lambda worker, _now: ways[worker])
    one, two = (worker.store.find(CLIENT, fleet.now) for worker in fleet.workers)
    fleet.workers[0].store.ban(one, fleet.now + 3600.0)
    ways[0] = Flight(0.01, 0.4)
    fleet.run_until(fleet.now + pause)
    assert two.held_until
    fleet.workers[1].store.lift(two)
    fleet.settle()
    fleet.add_worker()
    ways.append(Flight())
    assert not any(history.held_until for history in (one, two, *visit(fleet)))


@pytest.mark.parametrize("kind", ["originals", "subjects", "requests"])
def test_that_bound_is_reached_and_holds_once(kind: str) -> None:
    """A client that asks ten workers for everything at the same instant gets ten times the budget, and then nothing."""
    fleet = Fleet(10, STANDINGS)
    budget = {"originals": 4, "subjects": 3, "requests": 60}[kind]
    everybody = [Ask(0.0, worker, 100 * worker + thing) for worker in range(10) for thing in range(80)]
    asked, admitted = play(fleet, everybody, kind)
    assert len(admitted) == 10 * budget
    assert excess([one for one in asked if one in admitted], 0.1) == 9 * budget
    fleet.run_until(fleet.now + 1.0)
    _, later = play(fleet, everybody, kind)
    if (
        kind == "requests"
    ):  # of which a second earns ten back, as far as a worker knows that was not asked since
        assert len(later) <= 10 * 10
        fleet.run_until(fleet.now + 1.0)
        _, later = play(fleet, everybody, kind)
    assert later == []


@pytest.mark.security("I4")
@given(
    asks=st.lists(st.builds(Ask, st.floats(0.0, 0.4), st.integers(0, 5), st.just(0)), max_size=200),
    workers=st.integers(2, 6),
    interval=intervals,
    out=ways,
    back=ways,
)
def test_requests_beyond_a_budget_are_those_of_one_interval(
    asks: list[Ask], workers: int, interval: float, out: float, back: float
) -> None:
    """In any span of L seconds: (window + L + D) / cost, and of every worker but one what arrives there within D.

    Besides what the last one has not heard of (see above), the store may take a request for as much earlier as it was told
    later, and lets the client earn for that long: D seconds' requests, once.
    """
    fleet = Fleet(workers, STANDINGS, interval=interval, flight=lambda _worker, _now: Flight(out, back))
    asked, admitted = play(fleet, asks, "requests")
    if not asked:
        return
    limit, late = SMALL.requests[0], interval + 2 * (out + back) + 1e-6
    for place, begin in enumerate(admitted):
        for number, end in enumerate(admitted[place:], 1):
            rate = (limit.window + end.at - begin.at + late) / limit.interval
            assert number <= rate + excess(asked, late)


@pytest.mark.security("I4")
@given(
    asks=st.lists(st.builds(Ask, st.floats(0.0, 0.2), st.integers(0, 5), st.just(0)), max_size=300),
    workers=st.integers(2, 6),
)
def test_what_rests_is_no_more_than_a_sixteenth_of_the_budget(asks: list[Ask], workers: int) -> None:
    """As above, of a limit of which some requests fit into a journal at rest: those, and the one that wakes each."""
    fleet = Fleet(workers, STANDINGS)
    for worker in fleet.workers:  # past the first word of a client, which does not rest
        charge(worker, page(), CLIENT, LARGE)
    fleet.settle()
    asked, admitted = play(fleet, asks, "requests", LARGE)
    limit, late = LARGE.requests[0], fleet.interval + 1e-6
    rested = limit.amount * AT_REST + workers
    for place, begin in enumerate(admitted):
        for number, end in enumerate(admitted[place:], 1):
            rate = (limit.window + end.at - begin.at + late) / limit.interval
            assert number <= rate + excess(asked, late) + rested
    fleet.settle()
    owing = {round(max(0.0, one.tat - fleet.now), 6) for one in visit(fleet)}
    assert max(owing) - min(owing) <= fleet.interval, "in the end everybody knows the same"


def test_a_journal_that_holds_little_rests_and_is_told_in_one() -> None:
    fleet = Fleet(1, STANDINGS)
    worker = fleet.workers[0]
    told = []
    for _ in range(60):
        charge(worker, page(), CLIENT, LARGE)
        fleet.run_until(fleet.now + 1.0)
        told.append(worker.told["lights"])
    assert told[0] == 2, "the client and its network, of whom nothing was told before, at once"
    assert 2 * 60 / (REST + 2.0) <= told[-1] <= 2 * (2 + 60 / REST)
    fleet.settle()
    assert not worker.store.resting
    newcomer = fleet.add_worker()
    charge(newcomer, page(), CLIENT, LARGE)
    fleet.run_until(fleet.now + fleet.interval)
    assert newcomer.told["lights"] == 2


def test_a_journal_that_holds_much_is_told_at_once() -> None:
    fleet = Fleet(2, STANDINGS)
    one, other = fleet.workers
    for worker in fleet.workers:
        charge(worker, page(), CLIENT, LARGE)
    fleet.settle()
    limit = LARGE.requests[0]
    rests = limit.window * fleet.rests
    for _ in range(int(2 * rests / limit.interval)):
        charge(one, page(), CLIENT, LARGE)
    fleet.run_until(fleet.now + 2 * fleet.interval)
    charge(other, page(), CLIENT, LARGE)
    history = other.store.find(CLIENT, fleet.now)
    before = history.tat - fleet.now
    other.store.hasten(history)
    fleet.run_until(fleet.now + 2 * fleet.interval)
    assert history.tat - fleet.now > before + rests


def test_in_the_long_run_nobody_has_more_than_the_limit() -> None:
    """Ten minutes at a hundred workers: what is too much at first is owed like the rest."""
    fleet = Fleet(100, STANDINGS)
    asks = [Ask(0.02, number * 7, 0) for number in range(30_000)]
    _, admitted = play(fleet, asks, "requests")
    first = [one for one in admitted if one.at < 1010.0]
    limit = SMALL.requests[0]
    assert len(admitted) <= (600.0 + limit.window) / limit.interval + 100 * 5  # five a worker and interval
    rest = [one for one in admitted if one.at >= 1300.0]
    assert len(first) > 60
    assert len(rest) <= 300.0 / limit.interval + 100 * 5


lost = st.lists(st.sampled_from(Lost), min_size=1, max_size=40)


def unlucky(fates: list[Lost]) -> Callable[[int, float], Flight]:
    """Return a network in which exchanges come to that, one after another, and every third in a row gets through."""
    in_a_row: dict[int, int] = {}
    left = list(fates)

    def flight(worker: int, _now: float) -> Flight:
        fate = left.pop() if left else Lost.NOTHING
        if in_a_row.get(worker, 0) >= 2:
            fate = Lost.NOTHING
        in_a_row[worker] = 0 if fate is Lost.NOTHING else in_a_row.get(worker, 0) + 1
        return Flight(0.01, 0.01, fate)

    return flight


@pytest.mark.security("I4")
@given(
    asks=st.lists(
        st.builds(Ask, st.floats(0.0, 0.5), st.integers(0, 4), st.integers(0, 9)), min_size=1, max_size=40
    ),
    workers=st.integers(2, 5),
    fates=lost,
)
def test_nothing_that_was_spent_is_forgotten_or_counted_twice(
    asks: list[Ask], workers: int, fates: list[Lost]
) -> None:
    """Whatever is lost on the way, before the server did it or after: what every worker knows in the end is the sum.

    A request costs ten seconds, a hundred bytes one. What is owed is right to the second for which news may be late.
    """
    fleet = Fleet(workers, {Standing.BROWSER: FREE}, pause=0.05, share=False, flight=unlucky(fates))
    spent, sent, things = [], [], set()
    for number, ask in enumerate(asks):
        fleet.run_until(fleet.now + ask.gap)
        worker = fleet.workers[ask.worker % workers]
        if number % 3:
            assert charge(worker, page(), CLIENT, FREE)
            spent.append(fleet.now)
        else:
            charge(worker, image(ask.thing), CLIENT, FREE)
            worker.store.charge_bytes(worker.store.find(CLIENT, fleet.now), FREE, 100, fleet.now)
            things.add(ask.thing)
            sent.append(fleet.now)
    fleet.settle()
    histories = visit(fleet)
    for history in histories:
        assert max(history.tat, fleet.now) == pytest.approx(max(owed(spent, 10.0), fleet.now), abs=1.5)
        assert set(history.originals or ()) == things
        assert history.rollup is not None
        assert set(history.rollup.originals or ()) == things
        for tat in (history.tats or {"": fleet.now}).values():
            assert max(tat, fleet.now) == pytest.approx(max(owed(sent, 1.0), fleet.now), abs=1.5)


def owed(times: list[float], cost: float) -> float:
    """Return the theoretical arrival time after a cost at each of these times, which are in order."""
    tat = 1000.0
    for time in times:
        tat = max(tat, time) + cost
    return tat


def test_an_answer_that_is_lost_for_half_a_minute_is_counted_once() -> None:
    """Else a store that is slow, not dead, would add up what is told again and again, and lock out who asked once a second."""
    slow = [True]
    fleet = Fleet(
        2,
        STANDINGS,
        pause=TIMEOUT,
        share=False,
        flight=lambda worker, _now: Flight(lost=Lost.ANSWER if slow[0] and not worker else Lost.NOTHING),
    )
    for _ in range(30):
        fleet.run_until(fleet.now + 1.0)
        assert charge(fleet.workers[0], page(), CLIENT, replace(FREE, requests=parse_limits("60/min")))
    assert fleet.workers[0].told["failed"] > 50
    slow[0] = False
    fleet.settle()
    assert charge(fleet.workers[1], page(), CLIENT, FREE)
    fleet.settle()
    assert fleet.workers[1].store.find(CLIENT, fleet.now).tat - fleet.now <= 10.0 + 2.0


@pytest.mark.parametrize("kind", sorted(MAKE))
def test_a_client_that_comes_to_another_worker_is_known_there_after_one_exchange(kind: str) -> None:
    fleet = Fleet(2, STANDINGS)
    old, other = fleet.workers
    number = 0
    while charge(old, MAKE[kind](number)):
        number += 1
    fleet.settle()
    for newcomer in (other, fleet.add_worker()):
        assert charge(newcomer, page())  # an ordinary request, which tells nothing but itself
        fleet.run_until(fleet.now + fleet.interval)
        admitted = sum(charge(newcomer, MAKE[kind](number + more)) for more in range(20))
        assert admitted <= (4 if kind == "requests" else 0), "0.4 s earn back four requests"
