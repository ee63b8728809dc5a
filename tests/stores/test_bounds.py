"""The memory store's bounds: it knows what it weighs, holds its bound in bytes, and does not forget whom it limits."""

from __future__ import annotations

import gc
import random
import tracemalloc
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from antiscrape.core.budgets import parse_limits
from antiscrape.core.identity import Principal
from antiscrape.core.observation import Charge
from antiscrape.core.resource import Kind, Resource, Size
from antiscrape.core.verdict import Standing
from antiscrape.stores.memory import MemoryStore
from antiscrape.stores.table import _weight
from tests.costs import calls_of
from tests.fuzz import times
from tests.house import head_of, person, policy_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.core.history import History
    from antiscrape.core.rules import Allowance

API = Resource(Kind.API, "/api", 1)
PAGE = Resource(Kind.PAGE, "/", 2)
HEAD = head_of("/", person())
BROWSER = policy_of().standings[Standing.BROWSER]
LIMIT = BROWSER.requests[0]
SEVERAL = replace(
    BROWSER, requests=parse_limits("600/5min, 5000/day"), bytes=parse_limits("50MB/hour", sizes=True)
)
MANY = 1500
#: Enough to weigh: a mean of so many is as good.
FEW = 500


def store_of(*, principals: int = 10**6, most: float = float("inf")) -> MemoryStore:
    return MemoryStore(
        max_principals=principals, max_bytes=most, rollup_factor=20.0, standings=policy_of().standings
    )


def v4(number: int) -> Principal:
    """Return principals of which about three share a /24."""
    network = f"{11 + number % 89}.{number >> 16 & 255}.{number >> 8 & 255}."
    return Principal(f"{network}{number & 255}", f"{network}0/24", "")


def v6(number: int) -> Principal:
    """Return principals of which sixteen share a /48."""
    wide, line = f"2001:db8:{number >> 4:x}:", number >> 2 & 3
    return Principal(f"{wide}{line:x}0{number & 3}::/64", f"{wide}:/48", "", f"{wide}{line:x}00::/56")


def victim(place: int, last: int = 7) -> Principal:
    return Principal(f"203.0.{place}.{last}", f"203.0.{place}.0/24", "")


def image(number: int) -> Resource:
    return Resource(Kind.IMAGE, f"/i/{number}", (number * 0x9E3779B97F4A7C15) % 2**64, Size.ORIGINAL)


def ask(store: MemoryStore, history: History, now: float) -> None:
    history.note_request(API, HEAD, now)
    store.charge_request(history, LIMIT, now)


def walk(store: MemoryStore, history: History, now: float) -> None:
    history.note_request(PAGE, HEAD, now)
    store.charge(history, Charge.REQUEST, BROWSER, PAGE, now)


def view(store: MemoryStore, history: History, now: float, allowance: Allowance = BROWSER) -> None:
    walk(store, history, now)
    for place in range(4):
        picture = image(zlib.crc32(f"{now}{place}".encode()) % 20_000)
        history.note_request(picture, HEAD, now + place)
        store.charge(history, Charge.ORIGINAL, allowance, picture, now + place)


def load(store: MemoryStore, history: History, now: float) -> None:
    view(store, history, now, SEVERAL)
    store.charge_bytes(history, SEVERAL, 100_000, now)


def mixed(store: MemoryStore, history: History, now: float) -> None:
    (ask, ask, ask, walk, walk, view, load)[int(now * 10) % 7](store, history, now)


VISITS: dict[str, Callable[[MemoryStore, History, float], None]] = {
    "ask once": ask, "see a page": walk, "see pictures": view, "many limits": load, "mixed": mixed,
}  # fmt: skip


@pytest.mark.parametrize("address", [v4, v6])
@pytest.mark.parametrize("visit", VISITS)
def test_the_store_knows_what_it_weighs(visit: str, address: Callable[[int], Principal]) -> None:
    gc.collect()
    tracemalloc.start()
    store = store_of()
    for number in range(FEW):
        now = 1000.0 + number / 10
        VISITS[visit](store, store.find(address(number), now), now)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert 0.85 * held < store.held_bytes < 1.15 * held, (
        f"{store.held_bytes / FEW:.0f} told, {held / FEW:.0f} held"
    )


@pytest.mark.security("A13")
@pytest.mark.parametrize("visit", VISITS)
def test_the_bound_in_bytes_holds_whatever_clients_do(visit: str) -> None:
    most = 2**19
    gc.collect()
    tracemalloc.start()
    store = store_of(most=most)
    for number in range(MANY):
        now = 1000.0 + number / 10
        VISITS[visit](store, store.find(v4(number), now), now)
        assert store.held_bytes <= most * 1.12
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert store.held_bytes <= most * 1.01, "a dictionary's growth was made up for"
    assert held < 1.15 * most
    assert 150 < len(store) < MANY


def test_nothing_is_lost_from_the_scale() -> None:
    """Records grow, begin visits anew, expire and are dropped; what is left weighs what the scale tells."""
    store, chance = store_of(principals=300, most=300_000), random.Random(7)
    now = 0.0
    for _ in range(6000):
        now += chance.choice([0.0, 0.1, 0.1, 400.0])
        peer = (v4, v6)[chance.randrange(2)](chance.randrange(600))
        history = store.find(peer, now)
        chance.choice(list(VISITS.values()))(store, history, now)
        if chance.random() < 0.1:
            history.note_answer(found=False, cookie_offered=True)
            history.note_borrowed()
    principals = [_weight(record) for record in store._principals.records.values()]
    networks = [_weight(record) for record in store._networks.records.values()]
    assert min(len(principals), len(networks)) > 20
    assert store._principals.scale.bytes == sum(principals)
    assert store._networks.scale.bytes == sum(networks)


def spend_all(store: MemoryStore, who: Principal, now: float) -> int:
    """Ask until the budget is spent; return how often that went well."""
    history, asked = store.find(who, now), 0
    history.note_request(API, HEAD, now)
    while store.charge(history, Charge.REQUEST, BROWSER, API, now).exceeded is None:
        history.note_request(API, HEAD, now)
        asked += 1
    return asked


@pytest.mark.security("A13")
@pytest.mark.parametrize("strangers", [1_100, times(12_000)])
@pytest.mark.parametrize("bound", ["number", "bytes"])
def test_a_limited_client_is_limited_after_any_number_of_others(strangers: int, bound: str) -> None:
    """So many it took several rate limiters to let a limited client in again, the least of them 1,024."""
    store = store_of(principals=1000) if bound == "number" else store_of(most=2**20)
    victims = [victim(number) for number in range(20)]
    assert {spend_all(store, one, 0.0) for one in victims} == {600}
    for number in range(strangers):
        ask(store, store.find(v4(number), 0.5), 0.5)
    assert [spend_all(store, one, 1.0) for one in victims] == [2] * 20, "what one second earns back"


@pytest.mark.security("A13")
def test_neither_bans_nor_spent_originals_are_forgotten_at_the_bound_in_bytes() -> None:
    """Both come as a wave, so that their records lie side by side."""
    store = store_of(most=2**20)
    banned = [victim(number) for number in range(200)]
    spent = [victim(number, 8) for number in range(200)]
    for one in banned:
        store.ban(store.find(one, 0.0), until=3600.0)
    for one in spent:
        for number in range(20):
            store.charge(store.find(one, 0.0), Charge.ORIGINAL, BROWSER, image(number), 0.0)
    for number in range(times(6000)):
        ask(store, store.find(v4(number), 100.0), 100.0)
    assert all(store.find(one, 100.0).banned_until == 3600.0 for one in banned)
    assert all(len(store.find(one, 100.0).originals or ()) == 20 for one in spent)


@pytest.mark.security("A11")
def test_a_network_that_has_spent_is_not_forgotten_for_strangers_networks() -> None:
    store = store_of(principals=500)
    few = replace(BROWSER, originals=parse_limits("1/day"))

    def take(number: int, now: float) -> bool:
        who = victim(113, number)
        return store.charge(store.find(who, now), Charge.ORIGINAL, few, image(number), now).exceeded is None

    assert sum(take(number, 0.0) for number in range(30)) == 20
    for number in range(5000):
        ask(store, store.find(v4(number), 100.0), 100.0)
    assert not any(take(number, 200.0) for number in range(100, 130))


def test_who_asks_is_remembered_rather_than_who_does_not() -> None:
    store = store_of(principals=1000)
    for number in range(20_000):
        now = number / 10
        ask(store, store.find(v4(number), now), now)
        ask(store, store.find(victim(number % 100), now), now)
    kept = [store.find_known(victim(place).key) for place in range(100)]
    assert sum(one is not None and one.requests == 200 for one in kept) > 95


@pytest.mark.parametrize("wave", ["strangers", "spent", "banned"])
def test_a_newcomer_costs_the_same_however_many_are_remembered(wave: str) -> None:
    costs = []
    for size in (4000, 16_000):
        store = store_of(principals=size)
        for number in range(size):
            history = store.find(v4(number), 0.0)
            if wave == "spent":
                history.tat = 1e6
            elif wave == "banned":
                store.ban(history, until=1e6)

        def come(store: MemoryStore = store, size: int = size) -> None:
            for number in range(size, size + 20):
                store.find(v4(number), 1.0)

        costs.append(calls_of(come))
    assert costs[1] < 1.1 * costs[0]
