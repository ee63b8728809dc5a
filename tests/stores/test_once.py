"""What may be spent once: in one worker, in several, and while the store is away (SECURITY G2)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from antiscrape.stores.once import Once
from tests import valkeys
from tests.house import Clock
from tests.stores.workers import PAGE, until, workers

if TYPE_CHECKING:
    from collections.abc import Iterator


def spent(once: Once, *tokens: bytes) -> list[bool]:
    async def run() -> list[bool]:
        return [await once.spend_once(token) for token in tokens]

    return asyncio.run(run())


@pytest.mark.security("G2")
def test_of_two_hundred_that_come_together_one_is_first() -> None:
    once = Once(lasts=300.0, clock=Clock().monotonic)

    async def run() -> list[bool]:
        return await asyncio.gather(*(once.spend_once(b"token") for _ in range(200)))

    assert sum(asyncio.run(run())) == 1


def test_it_is_remembered_for_as_long_as_it_could_be_spent_and_no_longer() -> None:
    clock = Clock()
    once = Once(lasts=300.0, clock=clock.monotonic)
    assert spent(once, b"a") == [True]
    clock.tick(299.0)
    assert spent(once, b"a", b"b") == [False, True]
    clock.tick(299.0)
    assert spent(once, b"b") == [False], "a later generation remembers the one before"
    clock.tick(700.0)
    assert spent(once, b"c") == [True]
    assert len(once) == 1, "and the one before that is gone"


@pytest.mark.security("G9")
def test_its_memory_is_bounded_and_what_finds_no_room_is_not_spent() -> None:
    clock = Clock()
    once = Once(lasts=300.0, clock=clock.monotonic, most=10)
    assert sum(spent(once, *(b"%d" % number for number in range(30)))) == 10
    assert len(once) == 10
    clock.tick(300.0)
    assert spent(once, b"new") == [True]


@pytest.fixture(scope="module", params=["single", "cluster"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "single":
        with valkeys.single() as server:
            yield server.unix_url
    else:
        with valkeys.cluster() as nodes:
            yield nodes.url


@pytest.mark.security("G2")
def test_of_two_workers_one_is_first(url: str) -> None:
    async def run() -> None:
        async with workers(url) as made:
            for one in made:
                one.take(PAGE)
            await until(lambda: all(not one.exchange.waiting for one in made))
            onces = [Once(lasts=300.0, clock=Clock().monotonic, courier=one.courier) for one in made]
            for number in range(8):
                token = b"token %d" % number
                first = await asyncio.gather(*(once.spend_once(token) for once in onces))
                assert sorted(first) == [False, True]

    asyncio.run(run())


@pytest.mark.security("G2", "I5")
def test_without_the_store_each_worker_spends_once_and_its_keys_end() -> None:
    async def run() -> None:
        with valkeys.single() as server:
            async with workers(server.unix_url, 1, timeout=0.25) as (one,):
                once = Once(lasts=300.0, clock=Clock().monotonic, courier=one.courier)
                one.take(PAGE)
                await until(lambda: not one.exchange.waiting)
                assert await once.spend_once(b"there")
                client = server.client()
                keys = list(client.scan_iter("*once*"))
                assert keys
                assert all(0 < client.pttl(key) <= 300_000 for key in keys)
                server.stop()
                assert await once.spend_once(b"gone")
                assert not await once.spend_once(b"gone")

    asyncio.run(run())
