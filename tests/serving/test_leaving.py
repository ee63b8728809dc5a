"""How connections end: nobody's answer is lost in a reset, and nobody's rest stays with the kernel."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

from antiscrape.core.rules import ServeRules
from antiscrape.serving import answering
from tests.serving.wire import PATIENCE, Echo, get, run, served, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiscrape.asgi.types import Receive, Scope, Send
    from antiscrape.serving.server import Server

TIRED = ServeRules(keep_alive=0.2)


def only(server: Server) -> Any:
    """Return the one connection that a server has."""
    (connection,) = server.server_state.connections
    return connection


def told(client: socket.socket) -> bytes:
    """Return all that a client hears until the other side closes; raise ``ConnectionResetError`` for a reset."""
    heard = b""
    while piece := client.recv(65536):
        heard += piece
    return heard


async def client_of(port: int, *, buffer: int = 0) -> socket.socket:
    client = socket.socket()
    if buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    client.settimeout(PATIENCE)
    await asyncio.to_thread(client.connect, ("127.0.0.1", port))
    return client


@pytest.mark.security("C8")
def test_a_request_that_crosses_the_end_of_an_idle_connection_is_not_reset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is not answered, which tells a client to ask again (RFC 9112 §9.3.1); what it was answered before stays its own."""

    async def main() -> tuple[bytes, bytes]:
        async with served(Echo(), TIRED) as (port, server), asyncio.timeout(PATIENCE):
            with await client_of(port) as client:
                await asyncio.to_thread(client.sendall, get(last=False))
                await until(lambda: server.server_state.total_requests)
                connection = only(server)
                await until(lambda: connection._lingering)
                await asyncio.to_thread(client.sendall, get(last=False))
                await until(lambda: connection._lingering > 1)  # it was read
                heard = await asyncio.to_thread(told, client)
                client.sendall(get(last=False))  # still nobody resets
                again = await asyncio.to_thread(told, client)
            await until(lambda: not server.server_state.connections)
            return heard, again

    monkeypatch.setattr(answering, "LINGER_SECONDS", PATIENCE)
    heard, again = run(main())
    assert heard.startswith(b"HTTP/1.1 200 ")
    assert heard.count(b"HTTP/1.1") == 1
    assert again == b""


def test_a_request_that_came_in_time_is_served_though_the_loop_was_late() -> None:
    """A look finds the connection overdue and its next request in the kernel, unread: it did not idle."""

    async def main() -> bytes:
        async with served(Echo(), ServeRules(keep_alive=PATIENCE)) as (port, server):
            with await client_of(port) as client:
                await asyncio.to_thread(client.sendall, get(last=False))
                await until(lambda: server.server_state.total_requests)
                connection = only(server)
                client.sendall(get())  # the loop stands still, and has read none of it
                connection.look(connection._mark + 10 * PATIENCE)
                return await asyncio.to_thread(told, client)

    assert run(main()).count(b"HTTP/1.1 200 ") == 2


async def too_large(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer an upload without reading it, and end the connection."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": message["type"] + ".complete"})
        return
    headers = [(b"content-length", b"5"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": b"never"})


@pytest.mark.security("C8")
def test_an_upload_that_is_refused_early_hears_why() -> None:
    """The rest of it is read and dropped: closed with bytes unread, the socket would be reset, and the answer with it."""

    async def main() -> bytes:
        async with served(too_large) as (port, _), asyncio.timeout(PATIENCE):
            with await client_of(port) as client:
                head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n"
                await asyncio.to_thread(client.sendall, head + b"x" * 900_000)
                return await asyncio.to_thread(told, client)

    heard = run(main())
    assert heard.startswith(b"HTTP/1.1 413 ")
    assert heard.endswith(b"\r\n\r\nnever")


async def breaks_off(scope: Scope, receive: Receive, send: Send) -> None:
    """Say a megabyte is coming, send half of it, and fail."""
    if scope["type"] == "lifespan":
        await too_large(scope, receive, send)
        return
    headers = [(b"content-length", b"1000000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"x" * 500_000, "more_body": True})
    raise ConnectionAbortedError("the site is gone")


@pytest.mark.security("C6")
@pytest.mark.parametrize("app", [Echo(size=500_000), breaks_off], ids=["whole", "broken off"])
def test_whoever_does_not_take_what_the_kernel_holds_is_cut_off(
    app: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process has written all; closed, the socket would be the kernel's for as long as the client sips."""

    async def main() -> None:
        rules = ServeRules(send=0.2, keep_alive=0.2)
        async with served(app, rules) as (port, server), asyncio.timeout(PATIENCE):  # type: ignore[arg-type]
            with await client_of(port, buffer=4096) as client:
                await asyncio.to_thread(client.sendall, get(last=False))
                await until(lambda: server.server_state.connections)
                await until(lambda: not server.server_state.connections)
                with pytest.raises(ConnectionResetError):
                    await asyncio.to_thread(told, client)

    monkeypatch.setattr(answering, "LINGER_SECONDS", 0.1)
    run(main())
