"""Answers that nobody takes: little of each waits, less the more there are, and others do not wait for them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from antiscrape.core.forwarding import UpstreamRules
from antiscrape.errors import UpstreamError
from antiscrape.upstream import Upstream
from antiscrape.upstream.connection import Connection
from tests.asgi.proxied import PATIENCE, Site, ok

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from antiscrape.upstream import Answer

PICTURE = bytes(range(256)) * 40_000  # 10 MB: more than the kernel keeps of it


@asynccontextmanager
async def site(*, connections: int = 512) -> AsyncIterator[Upstream]:
    """Run a site that answers with ``PICTURE``, and what asks it."""
    made = Site(behaviour=ok(PICTURE))
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    rules = UpstreamRules(connections=connections, connect_timeout=PATIENCE, read_timeout=PATIENCE)
    upstream = Upstream(f"http://127.0.0.1:{port}", rules=rules)
    try:
        async with asyncio.timeout(PATIENCE):
            yield upstream
    finally:
        await upstream.aclose()
        server.close()
        await server.wait_closed()


async def untaken(upstream: Upstream) -> Answer:
    """Ask for the picture, and wait until the site is held back, for nobody takes it."""
    held = upstream.pools[0].held
    before = len(held)
    answer = await upstream.request("GET", b"/", [])
    while len(held) == before:  # noqa: ASYNC110  nobody tells of it
        await asyncio.sleep(0)
    return answer


@pytest.mark.security("C6")
def test_the_site_is_not_read_on_from_before_what_was_taken_has_gone() -> None:
    """Whoever takes a piece may wait long to pass it on; the next is read once there is nothing left to take."""

    async def main() -> None:
        async with site() as upstream:
            answer = await untaken(upstream)
            first, ended = answer.take()
            assert (0 < len(first) <= 2**18, ended) == (True, False)
            for _ in range(1000):
                await asyncio.sleep(0)
            assert len(upstream.pools[0].held) == 1
            assert answer.take() == (b"", False)
            assert not upstream.pools[0].held
            assert first + b"".join([piece async for piece in answer]) == PICTURE

    asyncio.run(main())


@pytest.mark.security("C6")
def test_the_more_clients_take_nothing_the_less_is_read_for_each() -> None:
    async def main() -> None:
        async with site() as upstream:
            pool, loop = upstream.pools[0], asyncio.get_running_loop()
            rooms = []
            for _ in range(600):
                connection = Connection(pool, loop)
                rooms.append(len(connection.get_buffer(-1)))
                pool.held[connection] = 0.0
            assert rooms == sorted(rooms, reverse=True)
            assert (rooms[0], rooms[-1]) == (2**18, 2**14)
            assert sum(rooms) < 25 * 2**20
            answer = await untaken(upstream)
            assert len(answer.take()[0]) <= 2**16

    asyncio.run(main())


@pytest.mark.security("C6")
def test_who_takes_nothing_makes_room_for_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two that hold the only connections the one goes that has taken nothing for longer; the other gets all."""

    async def main() -> None:
        async with site(connections=2) as upstream:
            first, second = await untaken(upstream), await untaken(upstream)
            third = await upstream.request("GET", b"/", [])
            assert b"".join([piece async for piece in third]) == PICTURE
            first.take()
            with pytest.raises(UpstreamError, match="did not take its answer"):
                first.take()
            first.close()
            assert b"".join([piece async for piece in second]) == PICTURE
            assert len(upstream.pools[0].busy) == 0

    monkeypatch.setattr("antiscrape.upstream.pool._GRACE", 0.0)
    asyncio.run(main())


def test_who_has_only_just_begun_is_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with site(connections=1) as upstream:
            answer = await untaken(upstream)
            waiting = asyncio.create_task(upstream.request("GET", b"/", []))
            for _ in range(100):
                await asyncio.sleep(0)
            assert b"".join([piece async for piece in answer]) == PICTURE
            second = await waiting
            assert b"".join([piece async for piece in second]) == PICTURE

    monkeypatch.setattr("antiscrape.upstream.pool._GRACE", PATIENCE)
    asyncio.run(main())
