"""The memory store: bounded whatever comes, and it does not forget whom it limits."""

from __future__ import annotations

import ipaddress
import tracemalloc
from dataclasses import replace

import pytest

from antiscrape.core.budgets import parse_limits
from antiscrape.core.identity import Identity, Principal
from antiscrape.core.observation import Charge
from antiscrape.core.resource import Kind, Resource, Size
from antiscrape.core.rules import Allowance, IdentityRules
from antiscrape.core.verdict import Budget, Rendition, Standing
from antiscrape.stores.memory import MemoryStore
from tests.costs import ends
from tests.fuzz import times
from tests.house import head_of, person, policy_of

PAGE = Resource(Kind.PAGE, "/", 1)


def principal(number: int) -> Principal:
    network = f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}"
    address = f"{network}.{number & 255}"
    return Principal(address, network, address)


def strangers(
    store: MemoryStore, allowance: Allowance, count: int, now: float, *, start: int = 1 << 24
) -> None:
    """Let so many clients, each new, make one request."""
    for number in range(start, start + count):
        store.charge(store.find(principal(number), now), Charge.REQUEST, allowance, PAGE, now)


LIMITED = {
    "browser": policy_of().standings[Standing.BROWSER],
    "unknown": policy_of().standings[Standing.UNKNOWN],
    "bot": policy_of().standings[Standing.BOT],
    "two limits": replace(
        policy_of().standings[Standing.BROWSER], requests=parse_limits("600/5min, 2000/day")
    ),
}


@pytest.mark.security("A13")
def test_limited_clients_are_limited_after_any_number_of_strangers() -> None:
    """Measured of several rate limiters: 200,000 strangers, and the limited one is let in again; here ten times the bound."""
    store = MemoryStore(max_principals=2000, rollup_factor=20.0)

    def ask(number: int, allowance: Allowance, now: float) -> bool:
        history = store.find(principal(number << 12), now)
        history.note_request(PAGE, head_of("/a", person()), now)
        return store.charge(history, Charge.REQUEST, allowance, PAGE, now).exceeded is None

    for number, allowance in enumerate(LIMITED.values()):
        assert sum(ask(number, allowance, 0.0) for _ in range(700)) in {120, 240, 600}
    strangers(store, LIMITED["browser"], times(20_000), 0.5)
    for number, (name, allowance) in enumerate(LIMITED.items()):
        admitted = sum(ask(number, allowance, 1.0) for _ in range(20))
        assert admitted <= 4, f"{name}: one second earns back four requests at most"


@pytest.mark.security("A13")
def test_20_000_clients_stay_within_the_bound_and_no_ban_is_dropped() -> None:
    """A wave of harvesters is banned together, so that their records lie side by side."""
    store = MemoryStore(max_principals=10_000, rollup_factor=20.0)
    banned = [principal(number << 8) for number in range(1000)]
    for one in banned:
        store.ban(store.find(one, 0.0), until=3600.0)
    strangers(store, LIMITED["browser"], 20_000, 1.0)
    assert len(store) == 10_000
    for one in banned:
        known = store.find_known(one.key)
        assert known is not None
        assert known.banned_until == 3600.0


@pytest.mark.security("A13")
def test_a_cooling_outlasts_ten_times_as_many_strangers_as_there_is_room() -> None:
    store = MemoryStore(max_principals=2000, rollup_factor=20.0)
    cooled = [principal(number << 8) for number in range(50)]
    for one in cooled:
        store.cool(store.find(one, 0.0), 3600.0, 1)
    strangers(store, LIMITED["browser"], 20_000, 1.0)
    assert all(store.find(one, 1.0).held_until == 3600.0 for one in cooled)


def test_bans_that_are_over_make_room_again() -> None:
    store = MemoryStore(max_principals=100, rollup_factor=20.0)
    for number in range(40):
        store.ban(store.find(principal(number), 0.0), until=10.0)
    strangers(store, LIMITED["browser"], 2000, 1.0)
    assert sum(store.find_known(principal(number).key) is not None for number in range(40)) == 40
    strangers(store, LIMITED["browser"], 2000, 100.0, start=1 << 25)
    assert not any(store.find_known(principal(number).key) for number in range(40))
    assert len(store) == 100


def test_more_bans_than_records_keep_the_bound() -> None:
    store = MemoryStore(max_principals=64, rollup_factor=20.0)
    for number in range(1000):
        store.ban(store.find(principal(number), 0.0), until=10.0)
        assert len(store) <= 64


def test_a_record_takes_little_memory() -> None:
    store = MemoryStore(max_principals=20_000, rollup_factor=20.0)
    tracemalloc.start()
    strangers(store, LIMITED["browser"], 20_000, 1.0)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held / 20_000 < 1000


def test_what_was_spent_on_originals_is_not_forgotten_for_strangers() -> None:
    allowance = policy_of().standings[Standing.BROWSER]
    store = MemoryStore(max_principals=2000, rollup_factor=20.0)
    victim = principal(9)
    history = store.find(victim, 0.0)
    for number in range(30):
        image = Resource(Kind.IMAGE, "/i", number, Size.ORIGINAL)
        assert store.charge(history, Charge.ORIGINAL, allowance, image, 0.0).exceeded is None
    strangers(store, allowance, 20_000, 100.0)
    assert len(store.find(victim, 100.0).originals or ()) == 30


@pytest.mark.parametrize("most", [1, 2, 7, 16])
def test_the_smallest_stores_hold_their_bound(most: int) -> None:
    store = MemoryStore(max_principals=most, rollup_factor=2.0)
    for number in range(200):
        history = store.find(principal(number * 300), float(number))
        if number % 3 == 0:
            store.ban(history, number + 50.0)
        assert len(store) <= most


@pytest.mark.security("A12")
def test_addresses_that_collide_as_integers_cost_nothing_more() -> None:
    """hash(int) is the number modulo 2^61-1: 40,000 such addresses took 27 s as keys that are integers."""
    base = int(ipaddress.IPv6Address("2001:db8::"))
    peers = [str(ipaddress.IPv6Address(base + step * (2**61 - 1))) for step in range(10_000)]
    assert ipaddress.IPv6Address(peers[-1]) in ipaddress.IPv6Network("2001:db8::/48")
    identity = Identity(IdentityRules(ipv6_prefix=128))
    principals = [identity.find(peer) for peer in peers]
    assert len({one.key for one in principals}) == 10_000
    store = MemoryStore(max_principals=50_000, rollup_factor=20.0)
    with ends():
        for one in principals:
            store.find(one, 0.0)
    assert len(store) == 10_000


@pytest.mark.security("A11")
def test_one_ipv6_network_is_one_client_and_its_neighbours_share_a_wider_budget() -> None:
    identity = Identity(IdentityRules())
    keys = {identity.find(f"2001:db8:1:2::{number:x}").key for number in range(10_000)}
    assert len(keys) == 1
    store = MemoryStore(max_principals=5000, rollup_factor=20.0)
    allowance = replace(policy_of().standings[Standing.BROWSER], requests=parse_limits("10/min"))
    admitted = 0
    for network in range(1000):
        one = identity.find(f"2001:db8:1:{network:x}::1")
        history = store.find(one, 0.0)
        admitted += sum(
            store.charge(history, Charge.REQUEST, allowance, PAGE, 0.0).exceeded is None for _ in range(10)
        )
    assert admitted == 4 * 40, "four /56 of a /48, each with four times the budget"


@pytest.mark.security("A11")
def test_a_household_shares_one_budget_and_its_neighbours_a_wider_one() -> None:
    identity, asked = Identity(IdentityRules()), []
    allowance = replace(policy_of().standings[Standing.BROWSER], requests=parse_limits("10/min"))
    store = MemoryStore(max_principals=200_000, rollup_factor=20.0, line_factor=4.0)

    def ask(peer: str) -> bool:
        asked.append(peer)
        exceeded = store.charge(
            store.find(identity.find(peer), 0.0), Charge.REQUEST, allowance, PAGE, 0.0
        ).exceeded
        assert exceeded is None or exceeded.shared
        return exceeded is None

    # 256 /64 make a /56; RFC 6177 gives a home site that much.
    assert sum(ask(f"2001:db8:0:7{number % 256:02x}::{number:x}") for number in range(1000)) == 40
    # 256 /56 make a /48: one request each, of which the /48 has 200, 40 of them spent.
    assert sum(ask(f"2001:db8:0:{number:x}00::1") for number in range(256) if number != 7) == 160
    assert sum(ask(f"2001:db8:1:{number:x}::1") for number in range(1000)) == 160, "another /48"
    assert sum(ask(f"198.51.100.{number % 256}") for number in range(1000)) == 200, "IPv4 has one level"


@pytest.mark.security("A11")
def test_who_asks_for_the_network_of_a_record_is_told_the_widest() -> None:
    identity = Identity(IdentityRules())
    store = MemoryStore(max_principals=100, rollup_factor=20.0)
    for peer, network in (("2001:db8:1:2::3", "2001:db8:1::/48"), ("198.51.100.7", "198.51.100.0/24")):
        assert store.find(identity.find(peer), 0.0).network == network
    assert store.find(Principal("account", "", "198.51.100.7"), 0.0).network == ""


def test_a_subject_counts_once_and_its_budget_is_told() -> None:
    allowance = Allowance(
        Standing.BROWSER, Rendition.ORIGINAL, Rendition.PREVIEW, subjects=parse_limits("2/hour")
    )
    store = MemoryStore(max_principals=10, rollup_factor=20.0)
    history = store.find(principal(1), 0.0)

    def see(subject: str) -> Budget | None:
        profile = Resource(Kind.SUBJECT, f"/u/{subject}", 1, subject=subject)
        exceeded = store.charge(history, Charge.REQUEST, allowance, profile, 0.0).exceeded
        return exceeded.budget if exceeded else None

    assert [see(name) for name in ("ada", "bob", "ada", "cy", "bob")] == [
        None,
        None,
        None,
        Budget.SUBJECTS,
        None,
    ]


def test_only_pictures_that_count_as_originals_are_charged() -> None:
    allowance = replace(policy_of().standings[Standing.BROWSER], originals=parse_limits("1/hour"))
    store = MemoryStore(max_principals=10, rollup_factor=20.0)
    history = store.find(principal(1), 0.0)
    for size in (Size.THUMBNAIL, Size.UNTOLD, Size.ORIGINAL):
        for number in range(2):
            image = Resource(Kind.IMAGE, "/i", number, size)
            exceeded = store.charge(history, Charge.ORIGINAL, allowance, image, 0.0).exceeded
            assert (exceeded is not None) == (size is Size.ORIGINAL and number == 1)
