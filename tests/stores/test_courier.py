"""Workers that share their counts over real servers: what they learn, how soon, and what they do without."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from antiscrape.stores.breaker import State
from antiscrape.stores.names import Names
from tests import valkeys
from tests.stores.workers import ASKING, BROWSER, CLIENT, PAGE, picture, rests, until, worker_of, workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.stores.workers import Worker
    from tests.valkeys import Server

#: Seconds that may pass within a test; in each of them half a dozen requests or so are given back.
SLACK = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with valkeys.single() as one:
        yield one


@pytest.fixture(scope="module")
def urls(server: Server) -> Iterator[dict[str, str]]:
    with valkeys.cluster() as cluster:
        yield {"single": server.unix_url, "cluster": cluster.url}


@pytest.fixture(params=["single", "cluster"])
def url(request: pytest.FixtureRequest, urls: dict[str, str]) -> str:
    return urls[request.param]


async def sees(worker: Worker, holds: Callable[[], bool]) -> None:
    """Let a client come back to a worker until that knows."""

    def ask() -> bool:
        worker.take(PAGE, ASKING)
        return holds()

    await until(ask)


def test_what_one_worker_granted_the_other_refuses(url: str) -> None:
    async def run() -> None:
        async with workers(url) as (one, two):
            assert sum(one.take(picture(n)).exceeded is None for n in range(60)) == 40
            await sees(two, lambda: len(two.history().originals or ()) == 40)
            assert two.take(picture(100)).exceeded is not None
            assert two.take(picture(7)).exceeded is None, "the same picture again costs nothing"
            assert len(two.history().rollup.originals or ()) == 40  # type: ignore[union-attr]  # it has one

    asyncio.run(run())


def test_requests_add_up(url: str) -> None:
    async def run() -> None:
        async with workers(url, 3) as made:
            for one in made:
                for _ in range(100):
                    assert one.take(PAGE).exceeded is None
            await until(lambda: all(not one.exchange.waiting for one in made))
            for one in made:
                one.take(PAGE)
            await until(lambda: all(one.history().tat - time.monotonic() > 300 * 0.5 - SLACK for one in made))
            debts = [one.history().tat - time.monotonic() for one in made]
            assert max(debts) < 303 * 0.5 + 1, "and nothing counts twice"

    asyncio.run(run())


def test_a_ban_is_known_everywhere_at_once(url: str) -> None:
    async def run() -> None:
        async with workers(url, interval=3600.0) as (one, two):
            for each in (one, two):
                each.take(PAGE)
            await until(lambda: two.courier.listening and one.courier.listening)
            until_when = time.monotonic() + 500
            one.store.ban(one.history(), until_when)
            one.store.cool(one.history(), until_when, 3)
            await until(lambda: two.history().held_until > 0)
            await until(lambda: two.history().trouble.cooled_until > 0)  # type: ignore[union-attr]  # it has some
            trouble = two.history().trouble
            assert trouble is not None
            assert abs(trouble.banned_until - until_when) < SLACK
            assert trouble.level == 3

    asyncio.run(run())


def test_a_ban_is_known_to_a_worker_that_sees_the_client_later(server: Server) -> None:
    async def run() -> None:
        async with workers(server.unix_url, interval=3600.0) as (one, two):
            one.take(PAGE)
            two.courier.wake()
            await until(lambda: two.courier.listening)
            one.store.ban(one.history(), time.monotonic() + 500)
            await until(lambda: two.courier.counts["heard"] == 1)
            assert two.history().held_until > time.monotonic()

    asyncio.run(run())


def test_a_ban_that_is_taken_back_is_over_everywhere(url: str) -> None:
    async def run() -> None:
        async with workers(url, 3) as (one, two, three):
            for each in (one, two):
                each.take(PAGE)
            await until(lambda: two.courier.listening and one.courier.listening)
            one.store.ban(one.history(), time.monotonic() + 500)
            one.store.cool(one.history(), time.monotonic() + 500, 2)
            await until(lambda: two.history().held_until > 0 and not one.exchange.waiting)
            two.store.lift(two.history())
            await until(lambda: not one.history().held_until)
            await until(lambda: not two.exchange.waiting)
            three.take(PAGE)
            await until(lambda: bool(three.history().seen))
            assert not three.history().held_until, "nor does the store remember it"

    asyncio.run(run())


def test_a_trap_is_told_with_the_visit_that_went_into_it(server: Server) -> None:
    async def run() -> None:
        async with workers(server.unix_url, interval=3600.0) as (one, two):
            heard = []
            two.store.trapped = lambda history, look: heard.append((history.key, look))
            for each in (one, two):
                each.take(PAGE)
            await until(lambda: two.courier.listening)
            for look in (b"0123456789abcde\0", b""):
                one.store.note_trapped(one.history(), look)
                await until(lambda: bool(heard))
                assert heard.pop() == (CLIENT.key, look)

    asyncio.run(run())


@pytest.mark.security("I5")
def test_no_key_names_a_client_and_every_key_ends(url: str, urls: dict[str, str], server: Server) -> None:
    async def run() -> None:
        async with workers(server.unix_url, strict=True) as (one, two):
            for n in range(5):
                await one.ask(picture(n))
            one.store.charge_bytes(one.history(), BROWSER, 1000, time.monotonic())
            one.store.ban(one.history(), time.monotonic() + 5)
            await two.ask(PAGE)
            await until(lambda: two.courier.workers == 2)
            await until(lambda: not one.exchange.waiting and not two.exchange.waiting)

    server.ask("FLUSHALL")
    asyncio.run(run())
    keys = server.ask("KEYS", "*")
    assert isinstance(keys, list)
    assert len(keys) >= 4
    for key in keys:
        assert server.ask("PTTL", key) > 0, key  # type: ignore[operator]  # an integer
        assert key.startswith(b"as:")
        assert CLIENT.key.encode() not in key


@pytest.mark.security("I1")
def test_a_store_that_stalls_keeps_nobody_waiting_and_clients_are_held_to_a_share() -> None:
    async def run(server: Server) -> None:
        async with workers(server.unix_url, timeout=0.1) as (one, two):
            for each in (one, two):
                each.take(PAGE)
            await until(lambda: one.courier.workers == 2 and two.courier.workers == 2)
            server.stop()
            await sees(one, lambda: one.courier.away)
            assert "did not answer within 100 ms" in one.said[-1]
            assert "1/2 of each limit" in one.said[-1]
            granted = sum(one.take(picture(n)).exceeded is None for n in range(60))
            assert granted == 20, "half of 40 a worker"
            server.go_on()
            await until(lambda: not one.courier.away)
            assert "back" in one.said[-1]
            await sees(two, lambda: len(two.history().originals or ()) == 20)

    with valkeys.single() as server:
        asyncio.run(run(server))


@pytest.mark.security("I3")
def test_a_store_that_comes_back_empty_is_told_what_is_known() -> None:
    async def run(server: Server) -> None:
        async with workers(server.unix_url, 3) as (one, two, three):
            for n in range(30):
                one.take(picture(n))
            one.store.ban(one.history(), time.monotonic() + 500)
            await sees(two, lambda: len(two.history().originals or ()) == 30)
            await until(lambda: not one.exchange.waiting and not two.exchange.waiting)
            server.kill()
            await sees(two, lambda: two.courier.away)
            server.restart_empty()
            await sees(two, lambda: not two.courier.away)
            await sees(one, lambda: not one.courier.away)
            await sees(three, lambda: len(three.history().originals or ()) == 30)
            assert three.history().held_until > time.monotonic()

    with valkeys.single() as server:
        asyncio.run(run(server))


@pytest.mark.security("I3")
@pytest.mark.parametrize(
    ("setting", "back", "words"),
    [
        (("maxmemory", "1"), ("maxmemory", "0"), "maxmemory"),
        (("min-replicas-to-write", "1"), ("min-replicas-to-write", "0"), "NOREPLICAS"),
    ],
)
def test_a_store_that_takes_nothing_is_named_and_left_alone(
    setting: tuple[str, str], back: tuple[str, str], words: str
) -> None:
    async def run(server: Server) -> None:
        async with workers(server.unix_url, 1) as (one,):
            one.take(PAGE)
            await until(lambda: one.courier.counts["exchanged"] > 0)
            server.ask("CONFIG", "SET", *setting)
            await sees(one, lambda: one.courier.away)
            assert words in one.said[-1]
            assert one.take(PAGE).exceeded is None
            server.ask("CONFIG", "SET", *back)
            await until(lambda: not one.courier.away)

    with valkeys.single() as server:
        asyncio.run(run(server))


@pytest.mark.security("I3")
@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$-1\r\n" * 9, b"\0\xff" * 99, b""])
def test_whoever_answers_nonsense_is_away(answer: bytes) -> None:
    async def run() -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(answer)
            await writer.drain()
            writer.close()

        listener = await asyncio.start_server(talk, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        async with listener, workers(f"valkey://127.0.0.1:{port}", 1, strict=True) as (one,):
            for n in range(50):
                assert await one.ask(picture(n)) is (n < 40)
            await until(lambda: one.courier.away)
            assert len(one.said) == 1
            assert "counts for itself" in one.said[0]

    asyncio.run(run())


@pytest.mark.security("I4")
def test_a_strict_store_never_admits_more_than_the_budget_however_many_workers_ask_at_once(url: str) -> None:
    async def run() -> None:
        async with workers(url, 4, strict=True) as made:
            admitted = await asyncio.gather(*[made[n % 4].ask(picture(n)) for n in range(200)])
            assert sum(admitted) == 40
            again = next(n for n, had in enumerate(admitted) if had)
            assert await made[(again + 1) % 4].ask(picture(again)), "the same picture again costs nothing"
            requests = await asyncio.gather(*[made[n % 4].ask(PAGE) for n in range(800)])
            assert 599 - 201 <= sum(requests) <= 600 - 201 + 4 * SLACK

    asyncio.run(run())


def test_what_was_charged_while_a_strict_store_was_away_is_told_afterwards() -> None:
    async def run(server: Server) -> None:
        async with workers(server.unix_url, strict=True, timeout=0.1) as (one, two):
            assert await one.ask(picture(0))
            assert await two.ask(PAGE)
            await until(lambda: one.courier.workers == 2)
            server.stop()
            assert await one.ask(picture(1)), "nobody waits for a store that is away"
            await until(lambda: one.courier.away)
            for n in range(2, 60):
                await one.ask(picture(n))
            assert len(one.history().originals or ()) == 20
            server.go_on()
            await until(lambda: not one.courier.away and not one.exchange.waiting)
            assert sum([await two.ask(picture(n)) for n in range(100, 160)]) == 20

    with valkeys.single() as server:
        asyncio.run(run(server))


def test_a_worker_that_ends_tells_what_is_left(server: Server) -> None:
    async def run(namespace: str) -> None:
        async with workers(server.unix_url, 1, interval=3600.0, namespace=namespace) as (one,):
            one.take(PAGE)
            await one.courier.exchange_now()  # the first one learns the time
            for n in range(40):
                one.take(picture(n))
        async with workers(server.unix_url, 1, namespace=namespace) as (two,):
            await sees(two, lambda: len(two.history().originals or ()) == 40)

    asyncio.run(run("ends"))


def test_a_courier_takes_up_work_on_another_loop(server: Server) -> None:
    """Test clients, and servers that are started anew in one process, run one loop after another."""
    one = worker_of(server.unix_url, Names(b"k" * 32, "loops"))

    async def use() -> None:
        one.courier.counts["exchanged"] = 0
        one.take(PAGE)
        await until(lambda: one.courier.counts["exchanged"] > 0)

    asyncio.run(use())
    asyncio.run(use())


def test_an_idle_site_asks_nothing(server: Server) -> None:
    async def run() -> None:
        async with workers(server.unix_url, 1) as (one,):
            one.take(PAGE)
            await until(lambda: one.courier.counts["exchanged"] > 0 and not one.exchange.waiting)
            assert rests(one.courier)

    asyncio.run(run())


@pytest.mark.security("I1")
def test_the_breaker_is_tried_again_without_a_request_to_wake_it() -> None:
    async def run(server: Server) -> None:
        async with workers(server.unix_url, 1, timeout=0.1) as (one,):
            one.take(PAGE)
            await until(lambda: one.courier.counts["exchanged"] > 0)
            server.stop()
            one.take(PAGE)
            await until(lambda: one.courier.breaker.state is State.OPEN)
            server.go_on()
            await until(lambda: one.courier.breaker.state is State.CLOSED)

    with valkeys.single() as server:
        asyncio.run(run(server))
