"""The way to the store, over real servers: alone, under a Sentinel and as a cluster."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from redis.crc import key_slot
from redis.exceptions import ResponseError

from antiscrape.core.store_address import read_store_address
from antiscrape.errors import StoreError
from antiscrape.stores import connection as module
from antiscrape.stores.cluster import Nodes
from antiscrape.stores.connection import Call, Connection, Script
from antiscrape.stores.line import MOST_CONNECTIONS, Command, Line, converse, dial
from tests import valkeys
from tests.fuzz import times
from tests.house import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from antiscrape.stores.line import Wire
    from tests.valkeys import Server

ADD = Script(b"return {redis.call('INCRBY', KEYS[1], ARGV[1]), ARGV[2]}")
ECHO = Script(b"return ARGV[1]")
#: Takes a part of a millisecond, so that a cancelled call's reply is still to come when the next caller asks.
SLOW = Script(b"for n = 1, 20000 do KEYS[1] = n end return ARGV[1]")
WRONG = Script(b"return redis.call('LPUSH', KEYS[1], 'x')")
KINDS = ["unix", "tcp", "sentinel", "cluster"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with valkeys.single() as one:
        yield one


@pytest.fixture(scope="module")
def urls(server: Server) -> Iterator[dict[str, str]]:
    """An address of every kind, all alive for the whole file."""
    with valkeys.sentinel(server) as watcher, valkeys.cluster() as cluster:
        yield {
            "unix": server.unix_url,
            "tcp": server.url,
            "sentinel": f"valkey+sentinel://127.0.0.1:{watcher.port}/main",
            "cluster": cluster.url,
        }


@asynccontextmanager
async def connected(url: str, *, timeout: float = PATIENCE) -> AsyncIterator[Connection]:  # noqa: ASYNC109  the store's
    """A connection that waits as long as a busy machine may need, unless a test is about waiting."""
    connection = Connection(read_store_address(url), timeout=timeout)
    try:
        async with asyncio.timeout(PATIENCE):
            yield connection
    finally:
        await connection.aclose()


def keys(count: int) -> list[bytes]:
    """Keys that lie in many slots, and so on all nodes of a cluster."""
    return [b"{%d}%d" % (number, random.Random(number).getrandbits(40)) for number in range(count)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_script_runs_and_many_run_in_one_go(urls: dict[str, str], kind: str) -> None:
    async def look() -> None:
        async with connected(urls[kind]) as store:
            key = b"{%s}one" % kind.encode()
            assert await store.run(ADD, [key], [b"2", b"a"]) == [2, b"a"]
            assert await store.run(ADD, [key], [b"3", b"b"]) == [5, b"b"]
            named = [kind.encode() + one for one in keys(200)]
            done = await store.run_many([Call(ADD, [one], [b"1", one]) for one in named])
            assert done == [[1, one] for one in named]
            assert await store.run_many([]) == []

    asyncio.run(look())


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_fails_does_not_fail_the_others(urls: dict[str, str], kind: str) -> None:
    async def look() -> None:
        async with connected(urls[kind]) as store:
            named = [b"fails" + kind.encode() + one for one in keys(30)]
            calls = [Call(WRONG if at % 3 == 1 else ADD, [one], [b"1", one]) for at, one in enumerate(named)]
            await store.run_many([Call(ADD, [one], [b"1", b""]) for one in named])
            for at, answer in enumerate(await store.run_many(calls)):
                if at % 3 == 1:
                    assert isinstance(answer, StoreError)
                    assert (answer.fault, answer.away) == ("error-answered", False)
                else:
                    assert answer == [2, named[at]]
            assert await store.run(ECHO, [b"k"], [b"sane"]) == b"sane"

    asyncio.run(look())


@pytest.mark.security("I3")
@pytest.mark.parametrize("kind", ["unix", "cluster"])
def test_scripts_that_a_server_lost_are_given_to_it_again(urls: dict[str, str], kind: str) -> None:
    """And each call is carried out once: the repetition is of calls that did nothing."""

    async def look() -> None:
        async with connected(urls[kind]) as store:
            named = [b"lost" + one for one in keys(60)]
            for count in (1, 2, 3):
                await flush_scripts(store)
                done = await store.run_many([Call(ADD, [one], [b"1", one]) for one in named])
                assert done == [[count, one] for one in named]

    asyncio.run(look())


async def flush_scripts(store: Connection) -> None:
    for one in keys(60):
        await store.run(Script(b"return 1"), [one], [])
    for host in store.address.servers or (None,):
        wire = await dial(store.address, host)
        try:
            await converse(wire, [Command((b"SCRIPT", b"FLUSH"))], [])
        finally:
            await wire.disconnect()


#: Calls that are cancelled.
MANY = times(200)


@pytest.mark.security("I2")
@pytest.mark.parametrize("kind", ["unix", "cluster"])
def test_cancelled_calls_leave_no_reply_to_anybody_else(urls: dict[str, str], kind: str) -> None:
    chance = random.Random(4)

    async def tagged(store: Connection, tag: bytes) -> None:
        assert await store.run(SLOW, [b"{%s}" % tag], [tag]) == tag
        answers = await store.run_many([Call(ECHO, [b"{%s}" % one], [tag + one]) for one in keys(5)])
        assert answers == [tag + one for one in keys(5)]

    async def look() -> None:
        async with connected(urls[kind]) as store:
            cancelled = 0
            for number in range(MANY):
                victim = asyncio.ensure_future(tagged(store, b"victim%d" % number))
                other = asyncio.ensure_future(tagged(store, b"other%d" % number))
                for _ in range(chance.randrange(12)):
                    await asyncio.sleep(0)
                victim.cancel()
                await asyncio.wait([victim])
                await tagged(store, b"next%d" % number)
                await other
                cancelled += victim.cancelled()
                if not victim.cancelled():
                    victim.result()
            assert cancelled > MANY // 2
            for line in lines_of(store):
                assert line.open == len(line._idle) <= 2

    asyncio.run(look())


def lines_of(store: Connection) -> list[Line]:
    servers = store._servers
    return list(servers._lines.values()) if isinstance(servers, Nodes) else [servers._line]  # type: ignore[attr-defined]  # a Protocol's two kinds


def test_many_at_once_share_a_bounded_number_of_connections(server: Server) -> None:
    async def look() -> None:
        async with connected(server.unix_url) as store:
            tags = [b"%d" % number for number in range(200)]
            assert await asyncio.gather(*(store.run(ECHO, [], [tag]) for tag in tags)) == tags
            assert lines_of(store)[0].open <= MOST_CONNECTIONS

    asyncio.run(look())


@pytest.mark.security("I1")
@pytest.mark.security("I2")
def test_a_store_that_stands_still_costs_the_deadline_and_speaks_to_the_right_callers_afterwards() -> None:
    async def look(server: Server) -> None:
        async with connected(server.unix_url, timeout=0.05) as store, connected(server.unix_url) as patient:
            await patient.run(ECHO, [], [b"before"])
            await store.run_many([Call(ECHO, [], [b"before"])] * 3)
            server.stop()
            for tag in (b"a", b"b", b"c"):
                with pytest.raises(StoreError, match="did not answer within 50 ms") as late:
                    await store.run(ECHO, [], [tag])
                assert (late.value.fault, late.value.away) == ("timed-out", True)
            answers = await store.run_many([Call(ECHO, [], [b"d"]), Call(ECHO, [], [b"e"])])
            assert [isinstance(answer, StoreError) for answer in answers] == [True, True]
            with pytest.raises(StoreError):
                await store.publish(b"channel", b"message")
            server.go_on()
            assert await patient.run(ECHO, [], [b"f"]) == b"f"
            assert lines_of(store)[0].open == 0

    with valkeys.single() as server:
        asyncio.run(look(server))


@pytest.mark.security("I3")
def test_a_server_that_is_killed_and_started_empty_is_used_again(server: Server) -> None:
    async def look() -> None:
        with valkeys.single() as other:
            async with connected(other.url) as store:
                assert await store.run(ADD, [b"k"], [b"1", b""]) == [1, b""]
                other.kill()
                with pytest.raises(StoreError, match=r"refuses connections|closed the connection"):
                    await store.run(ADD, [b"k"], [b"1", b""])
                with pytest.raises(StoreError, match="refuses connections") as gone:
                    await store.run(ADD, [b"k"], [b"1", b""])
                assert gone.value.away
                other.start()
                assert await store.run(ADD, [b"k"], [b"1", b""]) == [1, b""]

    asyncio.run(look())


def test_slots_that_move_and_slots_that_are_moving_are_followed() -> None:
    tag = next(b"%d" % number for number in range(200_000) if key_slot(b"%d" % number) == 7)
    key = b"{%s}" % tag

    async def look(cluster: valkeys.Cluster) -> None:
        giver, taker, _ = cluster.nodes
        gives, takes = text(giver.ask("CLUSTER", "MYID")), text(taker.ask("CLUSTER", "MYID"))
        async with connected(cluster.url) as store:
            assert await store.run(ECHO, [key], [b"learned"]) == b"learned"
            taker.ask("CLUSTER", "SETSLOT", 7, "IMPORTING", gives)
            giver.ask("CLUSTER", "SETSLOT", 7, "MIGRATING", takes)
            assert await store.run(ADD, [key], [b"1", b""]) == [1, b""]  # ASK
            for node in (taker, giver):
                node.ask("CLUSTER", "SETSLOT", 7, "NODE", takes)
            assert await store.run(ADD, [key], [b"1", b""]) == [2, b""]  # MOVED
            assert await store.run(ADD, [key], [b"1", b""]) == [3, b""]  # learned anew

    with valkeys.cluster() as cluster:
        asyncio.run(look(cluster))


@pytest.mark.security("I1")
def test_a_node_that_is_gone_fails_its_own_calls_only() -> None:
    async def look(cluster: valkeys.Cluster) -> None:
        async with connected(cluster.url, timeout=5.0) as store:
            calls = [Call(ECHO, [one], [one]) for one in keys(90)]
            assert await store.run_many(calls) == keys(90)
            cluster.nodes[1].kill()
            answers = await store.run_many(calls)
            failed = [isinstance(answer, StoreError) for answer in answers]
            assert 0 < sum(failed) < 60
            held = [one if not bad else None for one, bad in zip(keys(90), failed, strict=True)]
            assert [None if isinstance(answer, StoreError) else answer for answer in answers] == held

    with valkeys.cluster() as cluster:
        asyncio.run(look(cluster))


def fail_over(watcher: Server) -> None:
    """Have the Sentinel promote the replica, once it has heard how fit that is."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            watcher.ask("SENTINEL", "FAILOVER", "main")
        except ResponseError as error:
            if "NOGOODSLAVE" not in str(error) or time.monotonic() > until:
                raise
        else:
            watcher.says("+switch-master")
            return


@pytest.mark.slow
def test_the_sentinels_new_master_is_found() -> None:
    async def look(server: Server, url: str) -> None:
        async with connected(url, timeout=5.0) as store:
            assert await store.run(ADD, [b"k"], [b"1", b""]) == [1, b""]
            fail_over(watcher)
            server.kill()
            with suppress(StoreError):  # a connection may have been open
                await store.run(ECHO, [], [b""])
            assert await store.run(ADD, [b"k"], [b"1", b""]) == [2, b""]

    with valkeys.single() as server, valkeys.replica_of(server), valkeys.sentinel(server) as watcher:
        watcher.says("+slave")
        asyncio.run(look(server, f"valkey+sentinel://127.0.0.1:1,127.0.0.1:{watcher.port}/main"))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_published_is_heard(urls: dict[str, str], kind: str) -> None:
    async def look() -> None:
        async with connected(urls[kind]) as store, aclosing(store.listen(b"all")) as heard:
            assert await anext(heard) is None
            for message in (b"one", b"", b"\r\n\x00two"):
                await store.publish(b"all", message)
                assert await anext(heard) == message

    asyncio.run(look())


@pytest.mark.security("I1")
def test_a_listener_says_that_it_may_have_missed_something() -> None:
    async def look(server: Server) -> None:
        async with connected(server.url) as store, aclosing(store.listen(b"all")) as heard:
            assert await anext(heard) is None
            server.restart_empty()
            assert await anext(heard) is None
            await store.publish(b"all", b"again")
            assert await anext(heard) == b"again"

    with valkeys.single() as server:
        asyncio.run(look(server))


@pytest.mark.security("I1")
def test_a_listener_that_hears_nothing_asks_whether_anybody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE", 0.05)

    async def look(server: Server) -> None:
        async with connected(server.url) as store, aclosing(store.listen(b"all")) as heard:
            again = told_of_dials(store)
            assert await anext(heard) is None
            for _ in range(
                100
            ):  # on a machine that stands still, the answer to the question may come too late
                again.clear()
                waiting = asyncio.ensure_future(anext(heard))
                await asked_after(server)
                await store.publish(b"all", b"still there")
                if await waiting == b"still there" and not again.is_set():
                    break
            else:
                pytest.fail("who answers is left for another connection each time")
            again.clear()
            server.stop()
            waiting = asyncio.ensure_future(anext(heard))
            await again.wait()
            assert not waiting.done()
            server.go_on()
            assert await waiting is None

    with valkeys.single() as server:
        asyncio.run(look(server))


async def asked_after(server: Server) -> None:
    """Wait until the server has had a PING of the listener's."""
    until = time.monotonic() + PATIENCE
    while "cmd=ping" not in text(server.ask("CLIENT", "LIST", "TYPE", "PUBSUB")):
        await asyncio.to_thread(server.ask, "PING")
        assert time.monotonic() < until


def told_of_dials(store: Connection) -> asyncio.Event:
    """Return an event that is set whenever a listener opens a connection."""
    dials, dialled = store._servers.dial, asyncio.Event()

    async def dial() -> Wire:
        dialled.set()
        return await dials()

    store._servers.dial = dial  # type: ignore[method-assign]  # a look from outside
    return dialled


def text(reply: object) -> str:
    assert isinstance(reply, bytes)
    return reply.decode()
