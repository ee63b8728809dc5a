"""Websockets pass both ways, with the subprotocol, the codes and the words of their ends."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from antiscrape.asgi.proxy import ReverseProxy
from antiscrape.core.forwarding import UpstreamRules
from antiscrape.upstream import Upstream, sendable
from tests.asgi.proxied import PATIENCE, Asked, proxied, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response
    from websockets.typing import Origin, Subprotocol

    Handler = Callable[[ServerConnection], Awaitable[None]]


async def echo(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


@asynccontextmanager
async def in_front_of(
    handler: Handler,
    *,
    subprotocols: list[Subprotocol] | None = None,
    decline: HTTPStatus | None = None,
    seen: list[Request] | None = None,
) -> AsyncIterator[str]:
    """Start a websocket site with the proxy in front, and give the proxy's URL."""

    def look(connection: ServerConnection, asked: Request) -> Response | None:
        if seen is not None:
            seen.append(asked)
        return connection.respond(decline, "no") if decline else None

    async with asyncio.timeout(PATIENCE):
        async with serve(handler, "127.0.0.1", 0, subprotocols=subprotocols, process_request=look) as site:
            port = next(iter(site.sockets)).getsockname()[1]
            upstream = Upstream(
                f"http://127.0.0.1:{port}", rules=UpstreamRules(connect_timeout=1.0, read_timeout=1.0)
            )
            async with serving(ReverseProxy(upstream)) as front:
                yield f"ws://127.0.0.1:{front}/chat%2Froom;1?who=a;b"
            await upstream.aclose()


def test_messages_of_both_kinds_come_back_in_order() -> None:
    async def main() -> None:
        async with in_front_of(echo) as url, connect(url) as socket:
            sent: list[str | bytes] = ["héllo", b"\x00\xff", "", "x" * 1_000_000]
            for message in sent:
                await socket.send(message)
            assert [await socket.recv() for _ in sent] == sent

    asyncio.run(main())


@pytest.mark.security("P0")
@pytest.mark.security("A7")
def test_the_handshake_that_the_site_sees() -> None:
    seen: list[Request] = []
    origin: Origin = "https://site.test"  # type: ignore[assignment]  # a NewType of str
    said = {"X-Forwarded-For": "9.9.9.9", "X_Real_IP": "9.9.9.9", "X-Antiscrape-A": "1", "Cookie": "a=1"}

    async def main() -> None:
        async with in_front_of(echo, seen=seen) as url:
            socket = await connect(url, additional_headers=said, origin=origin)
            await socket.close()

    asyncio.run(main())
    (asked,) = seen
    assert asked.path == "/chat%2Froom;1?who=a;b"
    assert asked.headers.get_all("X-Forwarded-For") == ["127.0.0.1"]
    assert asked.headers["Cookie"] == "a=1"
    assert asked.headers["Origin"] == "https://site.test"
    assert asked.headers.get_all("Sec-WebSocket-Version") == ["13"]
    assert not {"x_real_ip", "x-antiscrape-a", "sec-websocket-extensions"} & {
        name.lower() for name in asked.headers
    }


def test_the_subprotocol_is_the_one_that_the_site_chose() -> None:
    async def main() -> None:
        names: list[Subprotocol] = ["mqtt", "chat"]  # type: ignore[list-item]  # a NewType of str
        for offered, chosen in ((names[1:], "chat"), (None, None)):
            async with (
                in_front_of(echo, subprotocols=offered) as url,
                connect(url, subprotocols=names) as socket,
            ):
                assert socket.subprotocol == chosen

    asyncio.run(main())


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "moved"), (4321, "dü bist dran")])
def test_the_site_ends_it_in_its_own_words(code: int, reason: str) -> None:
    async def end(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.close(code, reason)

    async def main() -> None:
        async with in_front_of(end) as url, connect(url) as socket:
            await socket.send("go")
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            assert (socket.close_code, socket.close_reason) == (code, reason)

    asyncio.run(main())


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (3001, "bye"), (4999, "ciao")])
def test_the_client_ends_it_in_its_own_words(code: int, reason: str) -> None:
    async def main() -> None:
        ended: asyncio.Future[tuple[int | None, str | None]] = asyncio.get_running_loop().create_future()

        async def listen(socket: ServerConnection) -> None:
            await socket.wait_closed()
            ended.set_result((socket.close_code, socket.close_reason))

        async with in_front_of(listen) as url:
            async with connect(url) as socket:
                await socket.close(code, reason)
            assert await ended == (code, reason)

    asyncio.run(main())


def test_a_client_that_vanishes_is_told_to_the_site() -> None:
    async def main() -> None:
        ended = asyncio.Event()

        async def listen(socket: ServerConnection) -> None:
            await socket.send("here")
            await socket.wait_closed()
            ended.set()

        async with in_front_of(listen) as url:
            socket = await connect(url)
            await socket.recv()
            socket.transport.abort()
            await ended.wait()

    asyncio.run(main())


def test_a_site_that_vanishes_is_a_bad_gateway() -> None:
    """RFC 6455 §7.4 and the IANA registry: 1014 says that the server behind a gateway failed."""

    async def vanish(socket: ServerConnection) -> None:
        await socket.recv()
        socket.transport.abort()

    async def main() -> None:
        async with in_front_of(vanish) as url, connect(url) as socket:
            await socket.send("go")
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            assert socket.close_code == 1014

    asyncio.run(main())


@pytest.mark.parametrize(
    "status", [HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE]
)
def test_a_declined_handshake_keeps_its_status(status: HTTPStatus) -> None:
    async def main() -> None:
        async with in_front_of(echo, decline=status) as url:
            with pytest.raises(InvalidStatus) as caught:
                await connect(url)
            assert caught.value.response.status_code == status

    asyncio.run(main())


@pytest.mark.security("C4")
@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 502),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", 502),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: no\r\n\r\n", 502),
        (b"", 502),
        (None, 504),
    ],
)  # fmt: skip
def test_a_site_that_cannot_do_it_is_a_plain_error(reply: bytes | None, status: int) -> None:
    async def site(asked: Asked) -> None:
        if reply is None:
            await asked.reader.read()
            return
        await asked.reply(reply)
        asked.writer.close()

    async def main() -> None:
        async with proxied(site, read_timeout=0.2 if reply is None else PATIENCE) as setup:
            with pytest.raises(InvalidStatus) as caught:
                await connect(f"ws://127.0.0.1:{setup.port}/")
            assert caught.value.response.status_code == status

    asyncio.run(main())


@pytest.mark.parametrize(
    ("code", "sent"),
    [
        (None, 1000),
        (0, 1000),
        (1005, 1000),
        (1006, 1011),
        (1015, 1011),
        (999, 1011),
        (5000, 1011),
        (3000, 3000),
    ],
)
def test_only_codes_that_may_stand_in_a_frame_are_sent(code: int | None, sent: int) -> None:
    assert sendable(code) == sent
