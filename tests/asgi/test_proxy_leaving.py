"""Clients leave at any moment, and nothing of them stays: no task, no connection, no answer for the next one."""

from __future__ import annotations

import asyncio
import random

import pytest

from antiscrape.asgi.proxy import ReverseProxy
from antiscrape.core.forwarding import UpstreamRules
from antiscrape.upstream import Upstream
from tests.asgi.proxied import Asked, Setup, Site, request, serving

PATIENCE = 60.0
CLIENTS = 250


async def moody(asked: Asked) -> None:
    """Answer with the request's own target, in one piece or in several, slowly or never."""
    await asked.body()
    target = asked.line.split(b" ")[1]
    way = target.rpartition(b"/")[2]
    body = target * 500
    if way == b"never":
        await asked.reader.read()
    elif way == b"chunks":
        await asked.reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for start in range(0, len(body), 1000):
            piece = body[start : start + 1000]
            await asked.reply(b"%x\r\n%b\r\n" % (len(piece), piece))
            await asyncio.sleep(0)
        await asked.reply(b"0\r\n\r\n")
    else:
        await asked.reply(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body[:7])
        await asyncio.sleep(0)
        await asked.reply(body[7:])


async def come_and_go(setup: Setup, number: int, dice: random.Random) -> None:
    """Ask, and leave at a moment of the dice's choosing; whoever stays gets his own answer."""
    way = dice.choice(["never", "chunks", "whole"])
    target = f"/{number}/{way}"
    body = b"x" * dice.choice([0, 0, 10, 100_000])
    sent = (
        request("POST", target, f"Content-Length: {len(body)}", body=body) if body else request("GET", target)
    )
    if way != "never" and dice.random() < 0.4:
        assert (await setup.ask(sent)).body == target.encode() * 500
        return
    reader, writer = await asyncio.open_connection("127.0.0.1", setup.port)
    writer.write(sent[: dice.randint(1, len(sent))])
    if dice.random() < 0.5 and way != "never":
        await asyncio.wait({asyncio.create_task(reader.read(dice.randint(1, 3000)))}, timeout=0.05)
    else:
        await asyncio.sleep(0)
    writer.transport.abort()


@pytest.mark.slow
@pytest.mark.security("C6")
def test_nothing_stays_of_clients_that_leave_at_random_moments() -> None:
    """Fault 30."""

    async def main() -> None:
        site = Site(behaviour=moody)
        server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        upstream = Upstream(url, rules=UpstreamRules(connections=CLIENTS))
        dice = random.Random(30)
        async with asyncio.timeout(PATIENCE), serving(ReverseProxy(upstream)) as port:
            setup = Setup(site, port)
            before = len(asyncio.all_tasks())
            await asyncio.gather(*(come_and_go(setup, number, dice) for number in range(CLIENTS)))
            while upstream.states()[0].busy or upstream.pools[0].load:  # noqa: ASYNC110  nothing tells of it
                await asyncio.sleep(0.01)
            await upstream.aclose()
            while len(asyncio.all_tasks()) > before:  # noqa: ASYNC110  the site's own tasks end with their connections
                await asyncio.sleep(0.01)
        server.close()
        await server.wait_closed()

    asyncio.run(main())
