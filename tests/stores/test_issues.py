"""How many clearances an address may earn: in one worker, of several together, and while the store is away."""

from __future__ import annotations

import asyncio
from itertools import cycle, islice
from typing import TYPE_CHECKING

import pytest

from antiscrape.core.budgets import Limit
from antiscrape.stores.issues import Issues
from tests import valkeys
from tests.house import Clock
from tests.stores.workers import PAGE, until, workers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.stores.workers import Worker

LIMIT = Limit(12, 3600, "12/hour")
HERE, THERE = "192.0.2.1", "192.0.2.2"


def books(made: list[Worker], clock: Clock) -> list[Issues]:
    return [Issues(clock=clock.monotonic, wall=clock.wall, courier=one.courier) for one in made]


async def settled(made: list[Worker]) -> None:
    for one in made:
        one.take(PAGE)
    await until(lambda: all(not one.exchange.waiting for one in made))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with valkeys.single() as server:
        yield server.unix_url


@pytest.mark.security("G5")
def test_one_worker_gives_its_limit_and_tells_an_honest_wait() -> None:
    async def run() -> None:
        clock = Clock()
        book = Issues(clock=clock.monotonic, wall=clock.wall)
        waits = [await book.issue(HERE, LIMIT) for _ in range(14)]
        assert waits[:12] == [0.0] * 12
        assert min(waits[12:]) > 0
        clock.tick(waits[-1] + 1)
        assert await book.issue(HERE, LIMIT) == 0.0

    asyncio.run(run())


@pytest.mark.security("G5")
def test_through_however_many_workers_an_address_has_its_limit_once(url: str) -> None:
    async def run() -> None:
        clock = Clock()
        async with workers(url, 3) as made:
            await settled(made)
            shared = books(made, clock)
            given = [await book.issue(HERE, LIMIT) for book in islice(cycle(shared), 30)]
            assert given.count(0.0) == 12, given
            assert [await book.issue(THERE, LIMIT) for book in shared] == [0.0] * 3, "others have theirs"
            clock.tick(LIMIT.interval * 2)
            again = [await book.issue(HERE, LIMIT) for book in islice(cycle(shared), 9)]
            assert again.count(0.0) == 2, "and two were earned back"

    asyncio.run(run())


@pytest.mark.security("G5", "B5")
def test_those_that_come_together_have_it_once(url: str) -> None:
    async def run() -> None:
        async with workers(url, 3) as made:
            await settled(made)
            shared = books(made, Clock())
            asked = [book.issue("198.51.100.1", LIMIT) for book in islice(cycle(shared), 60)]
            assert (await asyncio.gather(*asked)).count(0.0) == 12

    asyncio.run(run())


def test_a_worker_that_comes_late_makes_it_as_hard_as_the_others_have(url: str) -> None:
    async def run() -> None:
        async with workers(url, 2) as made:
            await settled(made)
            one, other = books(made, Clock())
            for _ in range(9):
                assert await one.issue("198.51.100.2", LIMIT) == 0.0
            assert other.doublings("198.51.100.2", LIMIT) == 0
            assert await other.issue("198.51.100.2", LIMIT) == 0.0
            assert other.doublings("198.51.100.2", LIMIT) >= one.doublings("198.51.100.2", LIMIT) > 0

    asyncio.run(run())


@pytest.mark.security("G5", "I5")
def test_without_the_store_each_worker_counts_for_itself_and_its_keys_end() -> None:
    async def run() -> None:
        with valkeys.single() as server:
            async with workers(server.unix_url, 1, timeout=0.25) as made:
                await settled(made)
                (book,) = books(made, Clock())
                assert await book.issue(HERE, LIMIT) == 0.0
                client = server.client()
                keys = list(client.scan_iter("*once*"))
                assert keys
                assert all(0 < client.pttl(key) <= 4_000_000 for key in keys)
                server.stop()
                assert [await book.issue(HERE, LIMIT) for _ in range(11)] == [0.0] * 11
                assert await book.issue(HERE, LIMIT) > 0

    asyncio.run(run())
