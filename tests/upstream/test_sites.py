"""Several sites that are alike: the one with the least to do is asked, and one that fails is left alone."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from antiscrape.core.forwarding import Patience, UpstreamRules
from antiscrape.errors import UpstreamError
from antiscrape.upstream import Upstream
from tests.asgi.proxied import Asked, Site, ok

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from antiscrape.upstream import Answer

PATIENCE = 60.0


@asynccontextmanager
async def site(behaviour: Callable[[Asked], Awaitable[None]]) -> AsyncIterator[tuple[Site, str]]:
    """Start a site, and give it with its URL."""
    one = Site(behaviour=behaviour)
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    try:
        yield one, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in one.tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in one.tasks if task is not None), return_exceptions=True)
        await server.wait_closed()


def nowhere() -> str:
    """Return the URL of a port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for what the proxy notices by itself; the test as a whole is bounded."""
    while not is_so():  # noqa: ASYNC110  nothing tells of it
        await asyncio.sleep(0.005)


async def body_of(answer: Answer) -> bytes:
    return b"".join([piece async for piece in answer])


async def get(upstream: Upstream, method: str = "GET", target: bytes = b"/") -> bytes:
    return await body_of(await upstream.request(method, target, [(b"host", b"site.test")]))


def test_requests_are_spread_and_the_busy_site_is_spared() -> None:
    async def main() -> None:
        release = asyncio.Event()

        async def slow(asked: Asked) -> None:
            if asked.line.startswith(b"GET /slow"):
                await release.wait()
            await ok(b"first")(asked)

        async with (
            asyncio.timeout(PATIENCE),
            site(slow) as (one, first),
            site(ok(b"second")) as (two, second),
        ):
            upstream = Upstream(first, second)
            bodies = [await get(upstream) for _ in range(8)]
            assert sorted(bodies) == [b"first"] * 4 + [b"second"] * 4
            # whichever of the two has the slow one is passed over while it lasts
            while not any(asked.line.startswith(b"GET /slow") for asked in one.asked):
                waiting = asyncio.create_task(get(upstream, target=b"/slow"))
                await asyncio.wait({waiting}, timeout=0.05)
            assert {await get(upstream) for _ in range(8)} == {b"second"}
            release.set()
            assert await waiting == b"first"
            assert len(one.asked) < len(two.asked)
            await upstream.aclose()

    asyncio.run(main())


@pytest.mark.security("C10")
def test_where_one_site_takes_no_connection_the_other_is_asked() -> None:
    """Nothing was sent yet, so nothing is asked twice, whatever the method."""

    async def main() -> None:
        async with asyncio.timeout(PATIENCE), site(ok(b"here")) as (one, url):
            upstream = Upstream(
                nowhere(), url, rules=UpstreamRules(fail_after=2, eject_least=3600.0, eject_most=3600.0)
            )
            assert {await get(upstream, method) for method in ("POST", "GET", "PUT", "POST")} == {b"here"}
            assert len(one.asked) == 4
            dead, living = upstream.states()
            assert (dead.well, living.well) == (False, True)
            await upstream.aclose()

    asyncio.run(main())


@pytest.mark.security("C10")
def test_a_site_that_answers_nonsense_is_left_alone_but_nobody_is_asked_again() -> None:
    async def main() -> None:
        async def nonsense(asked: Asked) -> None:
            await asked.reply(b"nonsense\r\n\r\n")
            asked.writer.close()

        async with asyncio.timeout(PATIENCE), site(nonsense) as (bad, one), site(ok(b"good")) as (good, two):
            upstream = Upstream(
                one, two, rules=UpstreamRules(fail_after=2, eject_least=3600.0, eject_most=3600.0)
            )
            failures = 0
            for _ in range(20):
                try:
                    assert await get(upstream) == b"good"
                except UpstreamError:
                    failures += 1
            assert failures == 2
            assert (len(bad.asked), len(good.asked)) == (2, 18)
            await upstream.aclose()

    asyncio.run(main())


def test_where_all_have_failed_one_is_tried_all_the_same() -> None:
    async def main() -> None:
        rules = UpstreamRules(fail_after=1, eject_least=3600.0, eject_most=3600.0)
        upstream = Upstream(nowhere(), nowhere(), rules=rules)
        for _ in range(3):
            with pytest.raises(UpstreamError):
                await get(upstream)
        assert [state.well for state in upstream.states()] == [False, False]
        await upstream.aclose()

    asyncio.run(main())


def test_the_active_check_leaves_a_site_alone_and_takes_it_back() -> None:
    async def main() -> None:
        healthy = False

        async def moody(asked: Asked) -> None:
            if asked.line == b"GET /health HTTP/1.1":
                status = b"200 OK" if healthy else b"503 Not now"
                await asked.reply(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
            else:
                await ok(b"moody")(asked)

        async with asyncio.timeout(PATIENCE), site(moody) as (_, one), site(ok(b"steady")) as (_, two):
            upstream = Upstream(one, two, rules=UpstreamRules(check_path="/health", check_interval=0.05))
            upstream.start()
            await until(lambda: not upstream.states()[0].well)
            assert {await get(upstream) for _ in range(6)} == {b"steady"}
            healthy = True
            await until(lambda: upstream.states()[0].well)
            assert {await get(upstream) for _ in range(6)} == {b"moody", b"steady"}
            await upstream.aclose()

    asyncio.run(main())


def test_connections_are_kept_used_again_and_let_go() -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), site(ok()) as (one, url):
            kept = Upstream(url, rules=UpstreamRules(keep_alive=PATIENCE))
            for _ in range(5):
                await get(kept)
            assert one.connections == 1
            assert kept.states()[0].idle == 1
            brief = Upstream(url, rules=UpstreamRules(keep_alive=0.0, send_timeout=0.1))
            await get(brief)
            await until(lambda: not brief.states()[0].idle)
            await get(brief)
            assert one.connections == 3
            await kept.aclose()
            await brief.aclose()

    asyncio.run(main())


def test_whoever_waits_for_a_connection_gets_the_next_in_turn() -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE), site(ok()) as (one, url):
            upstream = Upstream(url, rules=UpstreamRules(connections=2, connect_timeout=PATIENCE))
            targets = [b"/%d" % number for number in range(20)]
            bodies = await asyncio.gather(*(get(upstream, target=target) for target in targets))
            assert bodies == [b"ok"] * 20
            assert one.connections == 2
            assert len(one.asked) == 20
            # those who give up while they wait leave nothing behind
            waiting = [asyncio.create_task(get(upstream)) for _ in range(10)]
            await asyncio.sleep(0)
            for task in waiting[::2]:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            assert await get(upstream) == b"ok"
            state = upstream.states()[0]
            assert (state.busy, upstream.pools[0].load) == (0, 0)
            await upstream.aclose()

    asyncio.run(main())


def test_some_paths_may_take_longer() -> None:
    async def main() -> None:
        async def silent(asked: Asked) -> None:
            await asked.reader.read()

        patience = (Patience("/quick/*", 0.1), Patience("/{subject}/export", 3600.0))
        rules = UpstreamRules(read_timeout=0.3, routes=patience)
        async with asyncio.timeout(PATIENCE), site(silent) as (_, url), AsyncExitStack() as stack:
            upstream = Upstream(url, rules=rules)
            stack.push_async_callback(upstream.aclose)
            exporting = asyncio.create_task(get(upstream, target=b"/ann/exp%6frt?x=1"))
            for target in (b"/quick/1", b"/"):
                with pytest.raises(UpstreamError) as caught:
                    await get(upstream, target=target)
                assert caught.value.status == 504
            assert not exporting.done()
            exporting.cancel()
            await asyncio.wait({exporting})

    asyncio.run(main())


def test_an_exchange_that_takes_its_time_is_told_of_once() -> None:
    async def main() -> None:
        release = asyncio.Event()

        async def held(asked: Asked) -> None:
            await release.wait()
            await ok()(asked)

        async with asyncio.timeout(PATIENCE), site(held) as (_, url):
            upstream = Upstream(url, rules=UpstreamRules(send_timeout=0.1))
            told: list[None] = []

            def tell() -> None:
                told.append(None)
                release.set()

            answer = await upstream.request("GET", b"/", [], if_long=tell)
            assert await body_of(answer) == b"ok"
            assert told == [None]
            await upstream.aclose()

    asyncio.run(main())
