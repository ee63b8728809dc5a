"""The strict store: whatever the interleaving, nobody has more than the budget, and a refusal leaves nothing behind."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiscrape.core.budgets import parse_limits
from antiscrape.core.identity import Principal
from antiscrape.core.observation import Charge
from antiscrape.core.verdict import Budget, Exceeded, Standing
from antiscrape.stores.exchange import Exchange
from antiscrape.stores.lesser import Lesser
from antiscrape.stores.memory import MemoryStore
from antiscrape.stores.names import Names
from antiscrape.stores.strict import StrictStore
from antiscrape.stores.wire import pack_spend, unpack_spend
from loadtests.paper import PaperStore
from tests.fleets import CLIENT, SMALL, image, page

if TYPE_CHECKING:
    from antiscrape.core.budgets import Limit
    from antiscrape.core.history import History
    from antiscrape.core.resource import Resource
    from antiscrape.core.rules import Allowance
    from antiscrape.stores.strict import Pending
    from antiscrape.stores.wire import Charging, Outcome

NEIGHBOUR = Principal("203.0.113.8", "203.0.113.0/24", "203.0.113.8")
SERVER = 1.8e9
#: Tight enough that a few requests meet every limit: of the client, and of the network with twice as much.
TIGHT = replace(
    SMALL,
    requests=parse_limits("9/90s"),
    originals=parse_limits("3/60s, 5/200s"),
    subjects=parse_limits("2/60s"),
    bytes=parse_limits("1MB/100s", sizes=True),
)
SEVERAL = replace(TIGHT, requests=parse_limits("9/90s, 12/300s"))


class Site:
    """Workers with strict stores around a server on paper; what they ask waits until the test lets it go."""

    def __init__(self, workers: int, allowance: Allowance) -> None:
        self.now = 1000.0
        self.paper = PaperStore()
        self.away = False
        self.allowance = allowance
        self.waiting: list[Waiting] = []
        self.workers = [self._worker() for _ in range(workers)]

    def _worker(self) -> StrictStore:
        store = StrictStore(
            clock=lambda: self.now,
            origin=bytes(8),
            max_principals=1000,
            rollup_factor=2.0,
            standings={Standing.BROWSER: self.allowance},
        )
        exchange = Exchange(store, Names(b"k" * 32, "site"))
        store.key_of = exchange.key_of
        store.confirm = self._confirm
        return store

    async def _confirm(self, charging: Charging) -> Outcome | None:
        if self.away:
            return None
        keys, arguments = pack_spend([charging])
        (outcome,) = unpack_spend(self.paper.spend(keys, arguments, SERVER + self.now), [charging])
        return outcome

    def ask(self, worker: int, resource: Resource, client: Principal = CLIENT) -> bool:
        """Begin a request; tell whether the worker itself admits it, so that it waits for the store."""
        store = self.workers[worker]
        history = store.find(client, self.now)
        usage = store.charge(history, Charge.ORIGINAL, self.allowance, resource, self.now)
        pending = store.take()
        if pending is None:
            assert usage.exceeded is not None
            return False
        self.waiting.append(Waiting(store, pending, usage.exceeded, resource, self.now))
        return True

    def answer(self, place: int) -> tuple[Waiting, Exceeded | None]:
        """Let one request that waits be answered, whichever."""
        waiting = self.waiting.pop(place % len(self.waiting))
        return waiting, asyncio.run(waiting.store.resolve(waiting.pending))


class Waiting(NamedTuple):
    """A request that waits for the store; ``locally`` is what the worker itself had no room for (an image, not the request)."""

    store: StrictStore
    pending: Pending
    locally: Exceeded | None
    resource: Resource
    at: float


class Step(NamedTuple):
    """What happens next: ``do`` is "ask", "answer" or "pass"; ``number`` a worker, who is answered, or seconds."""

    do: str
    number: int
    thing: int = 0
    client: Principal = CLIENT


class Taken:
    """What clients were given, and when it was charged."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.requests: list[tuple[float, str]] = []
        self.originals: list[tuple[float, str]] = []
        self._had: dict[tuple[str, int], float] = {}

    def answer(self, place: int) -> None:
        """Let one that waits be answered, and note what it was given."""
        waiting, exceeded = self.site.answer(place)
        now, key = self.site.now, waiting.pending.history.key
        if exceeded is None or exceeded.budget is not Budget.REQUESTS:
            self.requests.append((now, key))
        had = key, waiting.resource.identity
        new = (
            now - self._had.get(had, -1e9) >= 200.0
        )  # within the longest window the same again costs nothing
        if exceeded is None and waiting.locally is None and new:
            self._had[had] = now
            self.originals.append((now, key))


def within(given: list[tuple[float, str]], who: str, limit: Limit, factor: float, *, rate: bool) -> bool:
    """Tell whether what ``who`` ("" for all) was given is within a limit: a rate's, or that of any window."""
    times = [at for at, key in given if who in {"", key}]
    for place, begin in enumerate(times):
        for number, end in enumerate(times[place:], 1):
            if rate and number > factor * (limit.window + end - begin) / limit.interval + 1e-6:
                return False
            if not rate and end < begin + limit.window and number > factor * limit.amount:
                return False
    return True


steps = st.lists(
    st.one_of(
        st.builds(
            Step, st.just("ask"), st.integers(0, 2), st.integers(0, 5), st.sampled_from([CLIENT, NEIGHBOUR])
        ),
        st.builds(Step, st.just("answer"), st.integers(0, 9)),
        st.builds(Step, st.just("pass"), st.integers(1, 40)),
    ),
    max_size=90,
)


@pytest.mark.security("I4")
@given(steps=steps, allowance=st.sampled_from([TIGHT, SEVERAL]))
def test_nobody_has_more_than_the_budget_in_any_interleaving(steps: list[Step], allowance: Allowance) -> None:
    """Requests wait for each other in any order, the same picture is asked for twice at once, neighbours share a network."""
    site = Site(3, allowance)
    taken = Taken(site)
    for do, number, thing, client in steps:
        if do == "ask":
            site.ask(number, image(thing * 2 + (client is CLIENT), f"s{thing % 3}"), client)
        elif do == "pass":
            site.now += number
        elif site.waiting:
            taken.answer(number)
    while site.waiting:
        taken.answer(0)
    for who, factor in ((CLIENT.key, 1.0), (NEIGHBOUR.key, 1.0), ("", 2.0)):
        for limit in allowance.originals:
            assert within(taken.originals, who, limit, factor, rate=False)
        for limit in allowance.requests:
            assert within(taken.requests, who, limit, factor, rate=True)


def test_before_the_first_exchange_nobody_knows_the_stores_clock() -> None:
    """What the store tells is told as seconds that are owed, and locks nobody out."""
    site = Site(2, TIGHT)
    for _ in range(9):
        for worker in (0, 1):
            assert site.ask(worker, page())
            assert site.answer(0)[1] is None
        site.now += 20.0
    assert all(store.find(CLIENT, site.now).tat <= site.now for store in site.workers)


@pytest.mark.parametrize("allowance", [TIGHT, SEVERAL], ids=["one limit", "several"])
@pytest.mark.parametrize("budget", [Budget.REQUESTS, Budget.SUBJECTS, Budget.BYTES, Budget.ORIGINALS])
def test_a_refused_charge_leaves_nothing_behind(budget: Budget, allowance: Allowance) -> None:
    """What the store has no room for is not held against the client by the worker that asked, either."""
    site = Site(2, allowance)
    first, other = site.workers
    resource = image(10**6, "new")
    if budget is Budget.REQUESTS:
        spend = [page()] * 9
    elif budget is Budget.SUBJECTS:
        spend = [page("a"), page("b")]
    else:
        spend = [image(number) for number in range(3 if budget is Budget.ORIGINALS else 0)]
    for one in spend:
        assert site.ask(0, one)
        assert site.answer(0)[1] is None
    if budget is Budget.BYTES:
        key = triple_of(first, site)
        site.paper.hash(key, SERVER + site.now)["t:bytes 1MB/100s"] = SERVER - 1.7e9 + site.now + 101.0
    before = state_of(other.find(CLIENT, site.now))
    asked = [image(10**6, "new"), page("new")] if budget is Budget.SUBJECTS else [resource]
    for one in asked:
        assert site.ask(1, one)
        exceeded = site.answer(0)[1]
        assert exceeded is not None
        assert exceeded.budget is budget
        if budget is Budget.REQUESTS:
            assert exceeded.wait == pytest.approx(10.0, abs=0.1)
    after = state_of(other.find(CLIENT, site.now))
    assert after["originals"] == before["originals"]
    if budget is not Budget.ORIGINALS and budget is not Budget.BYTES:
        assert after["subjects"] == before["subjects"]
    if budget is Budget.REQUESTS:
        for tats in (after["tats"], after["around"]):
            assert all(tat <= site.now + 1e-6 for tat in tats)


def triple_of(store: StrictStore, site: Site) -> bytes:
    return store.key_of(store.find(CLIENT, site.now))


def state_of(history: History) -> dict[str, Any]:
    """Return what a worker holds against a client: by itself, and in the network around it."""
    network = history.rollup
    assert network is not None
    return {
        "originals": [set(purse.originals or ()) for purse in (history, network)],
        "subjects": [set(purse.subjects or ()) for purse in (history, network)],
        "tats": list((history.tats or {}).values()),
        "around": list((network.tats or {}).values()),
    }


def test_the_same_picture_twice_at_once_is_no_way_around() -> None:
    """The second one finds the first one's mark; the store is asked for both, and has no room for either."""
    site = Site(2, TIGHT)
    for number in range(3):
        assert site.ask(0, image(number))
        assert site.answer(0)[1] is None
    site.now += 1.0
    assert site.ask(1, image(77))
    site.now += 0.01
    assert site.ask(1, image(77))
    answers = [site.answer(0)[1], site.answer(0)[1]]
    assert [answer.budget for answer in answers if answer is not None] == [Budget.ORIGINALS] * 2


def test_while_the_store_is_away_each_worker_holds_to_its_share_and_writes_down_what_to_tell() -> None:
    site = Site(2, replace(TIGHT, originals=parse_limits("4/60s"), subjects=()))
    site.away = True
    for store in site.workers:
        store.lesser = Lesser(2)
    had = 0
    for number in range(20):
        for worker in (0, 1):
            if site.ask(worker, image(100 * worker + number)):
                waiting, exceeded = site.answer(0)
                had += exceeded is None and waiting.locally is None
    assert had == 4
    for store in site.workers:
        history = store.find(CLIENT, site.now)
        for purse, requests in ((history, 10.0), (history.rollup, 5.0)):
            assert purse is not None
            assert purse.journal is not None
            assert len(purse.journal.originals or ()) == 2
            assert purse.journal.requests == pytest.approx(requests * 4, rel=1e-3)


def test_what_the_worker_refuses_costs_no_call() -> None:
    """A flood of refusals is answered from memory."""
    site = Site(1, TIGHT)
    for _ in range(9):
        assert site.ask(0, page())
        assert site.answer(0)[1] is None
    calls = site.paper.calls
    assert not any(site.ask(0, page()) for _ in range(1000))
    assert site.paper.calls == calls


def test_a_store_by_itself_does_what_the_memory_store_does() -> None:
    """One worker: the script and ``core/spending.py`` agree on every request."""
    site = Site(1, SEVERAL)
    memory = MemoryStore(max_principals=1000, rollup_factor=2.0, standings={Standing.BROWSER: SEVERAL})
    for number in range(400):
        site.now += (0.0, 0.3, 7.0, 31.0)[number * 7 % 4]
        client = (CLIENT, NEIGHBOUR)[number * 5 % 3 % 2]
        resource = image(number * 3 % 17, f"s{number * 11 % 5}")
        history = memory.find(client, site.now)
        expected = memory.charge(history, Charge.ORIGINAL, SEVERAL, resource, site.now).exceeded
        exceeded: Exceeded | None
        if site.ask(0, resource, client):
            waiting, exceeded = site.answer(0)
            exceeded = exceeded or waiting.locally
            assert (exceeded and exceeded.budget) == (expected and expected.budget)
        else:
            assert expected is not None
            assert expected.budget is Budget.REQUESTS


def test_a_record_lives_until_all_in_it_is_earned_back() -> None:
    """Pictures that count for 20 seconds do not let the store forget an hour's requests."""
    site = Site(1, replace(SMALL, requests=parse_limits("10/hour")))
    for number in range(3):
        assert site.ask(0, image(number, "s"))
        assert site.answer(0)[1] is None
    left = site.paper.left(SERVER + site.now)[triple_of(site.workers[0], site)][1]
    assert left == pytest.approx(3 * 360.0, abs=2.0)
