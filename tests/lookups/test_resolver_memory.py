"""What the resolver remembers, for how long, and how little it does when ten thousand ask."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING

import dns.asyncresolver
import pytest

from antiscrape.core.crawler import Answer
from antiscrape.lookups.resolver import Resolver
from tests.costs import calls_of
from tests.lookups.nameserver import ADDRESS, NAME, Zone, during, genuine

if TYPE_CHECKING:
    from collections.abc import Callable

YES, NO, UNKNOWN = Answer.YES, Answer.NO, Answer.UNKNOWN
GOOGLE = ("googlebot.com", "google.com")


@pytest.mark.security("H4")
@pytest.mark.parametrize(
    ("ttl", "holds", "ends"), [(0, 299, 301), (3600, 3599, 3601), (2_000_000, 86_399, 86_401)]
)
def test_yes_is_remembered_for_its_records_time_within_five_minutes_and_a_day(
    ttl: int, holds: float, ends: float
) -> None:
    zone = genuine(ttl)

    async def job(resolver: Resolver) -> None:
        assert resolver.ask(ADDRESS, GOOGLE, 0.0) is None
        await resolver.settle()
        assert resolver.ask(ADDRESS, GOOGLE, holds) is YES
        assert resolver.under_way == 0
        assert resolver.ask(ADDRESS, GOOGLE, ends) is YES, (
            "the old answer is given while the new one is sought"
        )
        assert resolver.under_way == 1
        await resolver.settle()
        assert resolver.ask(ADDRESS, GOOGLE, ends + 1000 * 86_400) is None

    during(zone, job)
    assert len(zone.kinds("PTR")) == 2


def no_name(zone: Zone) -> None:
    zone.records.clear()


def landlord(zone: Zone) -> None:
    zone.point(ADDRESS, "ec2-66-249-66-1.compute-1.amazonaws.com.", ttl=0)


@pytest.mark.security("H4")
@pytest.mark.parametrize(
    ("change", "answer", "time"), [(landlord, NO, 600), (no_name, UNKNOWN, 60)], ids=["no", "unknown"]
)
def test_no_is_remembered_for_ten_minutes_and_unknown_for_one(
    change: Callable[[Zone], None], answer: Answer, time: float
) -> None:
    zone = genuine()
    change(zone)

    async def job(resolver: Resolver) -> None:
        assert resolver.ask(ADDRESS, GOOGLE, 5.0) is None
        await resolver.settle()
        assert resolver.ask(ADDRESS, GOOGLE, 5.0 + time - 1) is answer
        assert resolver.under_way == 0
        assert resolver.ask(ADDRESS, GOOGLE, 5.0 + time + 61) is None
        assert resolver.under_way == 1

    during(zone, job)


@pytest.mark.security("H4")
def test_a_name_that_was_repaired_counts_when_it_is_next_asked_for() -> None:
    zone = genuine()
    zone.misdeeds[NAME] = "servfail"

    async def job(resolver: Resolver) -> None:
        resolver.ask(ADDRESS, GOOGLE, 0.0)
        await resolver.settle()
        assert resolver.ask(ADDRESS, GOOGLE, 1.0) is UNKNOWN
        zone.misdeeds.clear()
        resolver.ask(ADDRESS, GOOGLE, 61.0)
        await resolver.settle()
        assert resolver.ask(ADDRESS, GOOGLE, 62.0) is YES
        assert resolver.made == {YES: 1, NO: 0, UNKNOWN: 1}

    during(zone, job)


@pytest.mark.security("H4")
def test_an_address_is_looked_up_once_at_a_time() -> None:
    zone = genuine()

    async def job(resolver: Resolver) -> None:
        for number in range(100):
            assert resolver.ask(ADDRESS, GOOGLE, float(number)) is None
            assert resolver.ask(ADDRESS, ("search.msn.com",), float(number)) is None
        assert resolver.under_way == 1
        await resolver.settle()
        assert resolver.ask(ADDRESS, GOOGLE, 100.0) is YES
        assert resolver.ask(ADDRESS, ("search.msn.com",), 100.0) is None, "another claim is another question"
        await resolver.settle()
        assert resolver.ask(ADDRESS, ("search.msn.com",), 100.0) is NO

    during(zone, job)
    assert len(zone.kinds("PTR")) == 2


def claimants(count: int) -> list[str]:
    first = int(ipaddress.IPv4Address("94.102.0.0"))
    return [str(ipaddress.IPv4Address(first + number)) for number in range(count)]


@pytest.mark.security("H4")
def test_ten_thousand_claimants_cost_a_bounded_amount_while_the_server_is_silent() -> None:
    zone = Zone(silent=True)

    async def job(resolver: Resolver) -> None:
        answers = [resolver.ask(address, GOOGLE, 0.0) for address in claimants(10_000)]
        assert (resolver.under_way, resolver.waiting, resolver.turned_away) == (64, 256, 10_000 - 320)
        assert answers == [None] * 320 + [UNKNOWN] * (10_000 - 320)
        assert len(asyncio.all_tasks()) <= 64 + 3
        again = [resolver.ask(address, GOOGLE, 1.0) for address in claimants(320)]
        assert again == [None] * 320
        assert (resolver.under_way, resolver.waiting) == (64, 256)

    during(zone, job)
    assert len(zone.asked) <= 64


@pytest.mark.security("H4")
def test_those_who_wait_are_answered_in_turn_and_those_turned_away_are_not_remembered() -> None:
    zone = Zone()
    for address in claimants(20):
        zone.point(address, "host.example.net.")

    async def job(resolver: Resolver) -> None:
        answers = [resolver.ask(address, GOOGLE, 0.0) for address in claimants(20)]
        assert answers == [None] * 14 + [UNKNOWN] * 6
        await resolver.settle()
        later = [resolver.ask(address, GOOGLE, 1.0) for address in claimants(20)]
        assert later == [NO] * 14 + [None] * 6
        await resolver.settle()
        assert resolver.made[NO] == 20

    during(zone, job, most=4, queue=10)


@pytest.mark.security("H4")
def test_asking_costs_the_request_a_few_calls_whatever_the_server_does() -> None:
    async def job(resolver: Resolver) -> tuple[int, int, int]:
        addresses = iter(claimants(400))
        first = calls_of(lambda: resolver.ask(next(addresses), GOOGLE, 0.0))
        for address in addresses:
            resolver.ask(address, GOOGLE, 0.0)
        turned = calls_of(lambda: resolver.ask("94.103.0.1", GOOGLE, 0.0))
        pending = calls_of(lambda: resolver.ask("94.102.0.0", GOOGLE, 0.0))
        return first, turned, pending

    assert max(during(Zone(silent=True), job)) < 30


def test_closing_ends_every_look_up_and_nothing_starts_after_it() -> None:
    async def job(resolver: Resolver) -> None:
        for address in claimants(100):
            resolver.ask(address, GOOGLE, 0.0)
        await asyncio.wait(asyncio.all_tasks(), timeout=0)  # let them send
        await resolver.aclose()
        assert (resolver.under_way, resolver.waiting) == (0, 0)
        assert resolver.ask("94.103.0.1", GOOGLE, 0.0) is None
        assert resolver.under_way == 0

    during(Zone(silent=True), job)


def test_without_an_event_loop_nothing_is_known_and_nothing_is_held() -> None:
    resolver = Resolver(nameservers=["127.0.0.1"], port=9)
    assert resolver.ask(ADDRESS, GOOGLE, 0.0) is None
    assert (resolver.under_way, resolver.waiting, resolver.turned_away) == (0, 0, 0)

    async def later() -> None:
        resolver.ask(ADDRESS, GOOGLE, 0.0)
        assert resolver.under_way == 1, "the address was left as if it were being looked up"
        await resolver.aclose()

    asyncio.run(later())


def test_what_the_library_trips_over_is_unknown_and_leaves_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def trip(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(dns.asyncresolver.Resolver, "resolve", trip)

    async def job(resolver: Resolver) -> None:
        resolver.ask(ADDRESS, GOOGLE, 0.0)
        await resolver.settle()
        assert resolver.ask(ADDRESS, GOOGLE, 1.0) is UNKNOWN

    during(Zone(), job)
