"""A site whose behaviour a test writes down to the byte, behind the real proxy on the real server."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from antiscrape.asgi.proxy import ReverseProxy
from antiscrape.core.forwarding import UpstreamRules
from antiscrape.serving.config import configure
from antiscrape.serving.listening import listen
from antiscrape.serving.server import Server
from antiscrape.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from antiscrape.asgi.types import ASGIApp

#: Seconds after which a test that waits has failed.
PATIENCE = 60.0


@dataclass
class Asked:
    """A request as the site received it: the head as it is, the body yet to be read."""

    head: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def line(self) -> bytes:
        return self.head.split(b"\r\n", 1)[0]

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        lines = self.head.rstrip(b"\r\n").split(b"\r\n")[1:]
        pairs = [line.split(b": ", 1) for line in lines]
        return [(name.lower(), value) for name, value in pairs]

    def all(self, name: bytes) -> list[bytes]:
        return [value for field, value in self.fields if field == name]

    async def body(self) -> bytes:
        if self.all(b"transfer-encoding") == [b"chunked"]:
            return await read_chunks(self.reader)
        length = self.all(b"content-length")
        return await self.reader.readexactly(int(length[0])) if length else b""

    async def reply(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))
        await self.writer.drain()


class Answered(NamedTuple):
    """A response as the client received it, its transfer coding undone; ``complete``: nothing of it is missing."""

    status: int
    fields: list[tuple[bytes, bytes]]
    body: bytes
    complete: bool

    def all(self, name: bytes) -> list[bytes]:
        return [value for field, value in self.fields if field == name]


@dataclass
class Site:
    """The site's side: what it was asked, how many connections it took, and what it does."""

    port: int = 0
    behaviour: Callable[[Asked], Awaitable[None]] | None = None
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    tasks: set[asyncio.Task[None] | None] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.tasks.add(asyncio.current_task())
        try:
            while not writer.is_closing():
                asked = Asked(await reader.readuntil(b"\r\n\r\n"), reader, writer)
                self.asked.append(asked)
                assert self.behaviour is not None
                await self.behaviour(asked)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@dataclass(frozen=True)
class Setup:
    """A site, and the port of the proxy in front of it."""

    site: Site
    port: int

    async def ask(self, raw: bytes) -> Answered:
        """Send a request as it is on a connection of its own, and read until the proxy closes it."""
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(raw)
            answer = read_answer(await reader.read(), head_only=raw.startswith(b"HEAD "))
            writer.close()
            await writer.wait_closed()
        return answer

    async def get(self, target: str = "/", *lines: str) -> Answered:
        """Send a GET with the given header lines."""
        return await self.ask(request("GET", target, *lines))


def request(method: str, target: str, *lines: str, body: bytes = b"") -> bytes:
    """Return the bytes of a request that asks the server to close after it."""
    head = "\r\n".join([f"{method} {target} HTTP/1.1", "Host: site.test", "Connection: close", *lines])
    return head.encode("latin-1") + b"\r\n\r\n" + body


def read_answer(raw: bytes, *, head_only: bool = False) -> Answered:
    """Split a response whose connection has been closed, and tell whether it was whole."""
    head, _, rest = raw.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 100"):
        head, _, rest = rest.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    fields = [(name.lower(), value) for name, value in (line.split(b": ", 1) for line in lines[1:])]
    status = int(lines[0].split(b" ")[1])
    named = dict(fields)
    if head_only or status in (204, 304):
        return Answered(status, fields, rest, complete=not rest)
    if named.get(b"transfer-encoding") == b"chunked":
        body = b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            if length == 0:
                return Answered(status, fields, body, complete=rest == b"\r\n")
            body, rest = body + rest[:length], rest[length + 2 :]
        return Answered(status, fields, body, complete=False)
    return Answered(status, fields, rest, complete=int(named[b"content-length"]) == len(rest))


async def read_chunks(reader: asyncio.StreamReader) -> bytes:
    """Read a chunked body."""
    pieces = []
    while length := int(await reader.readline(), 16):
        pieces.append(await reader.readexactly(length))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(pieces)


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[int]:
    """Serve an application with the project's own runner in this loop, and give its port."""
    handlers = {name: logging.getLogger(name) for name in ("antiscrape", "uvicorn")}
    before = {name: (log.handlers[:], log.propagate, log.level) for name, log in handlers.items()}
    config = configure(app, timeout_graceful_shutdown=1)
    for name, log in handlers.items():  # the runner's logging is for a process of its own
        log.handlers[:], log.propagate = before[name][0], before[name][1]
        log.setLevel(before[name][2])
    config.load()
    ready = asyncio.Event()
    server = Server(config, ready=ready.set)
    sock = listen(host="127.0.0.1", port=0)
    port: int = sock.getsockname()[1]
    task = asyncio.create_task(server._serve(sockets=[sock]))
    try:
        async with asyncio.timeout(PATIENCE):
            await ready.wait()
        yield port
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def proxied(
    behaviour: Callable[[Asked], Awaitable[None]],
    *,
    wrap: Callable[[ASGIApp], ASGIApp] = lambda app: app,
    connect_timeout: float = 5.0,
    read_timeout: float = 5.0,
    continue_timeout: float = PATIENCE,
    limit: int = 64,
    rewrite_host: bool = False,
) -> AsyncIterator[Setup]:
    """Start a site that behaves as told, with the proxy in front of it."""
    site = Site(behaviour=behaviour)
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    upstream = Upstream(
        f"http://127.0.0.1:{site.port}",
        rules=UpstreamRules(
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            send_timeout=read_timeout,
            continue_timeout=continue_timeout,
            connections=limit,
        ),
    )
    try:
        async with serving(wrap(ReverseProxy(upstream, rewrite_host=rewrite_host))) as port:
            yield Setup(site, port)
    finally:
        server.close()
        for task in site.tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in site.tasks if task is not None), return_exceptions=True)
        await server.wait_closed()


def ok(body: bytes = b"ok", *lines: bytes) -> Callable[[Asked], Awaitable[None]]:
    """Return a behaviour that reads the request and answers 200."""

    async def answer(asked: Asked) -> None:
        await asked.body()
        head = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *lines, b"", b""]
        await asked.reply(b"\r\n".join(head), b"" if asked.line.startswith(b"HEAD ") else body)

    return answer


def raw(data: bytes, *, close: bool = True) -> Callable[[Asked], Awaitable[None]]:
    """Return a behaviour that answers with these bytes, and closes."""

    async def answer(asked: Asked) -> None:
        await asked.reply(data)
        if close:
            asked.writer.close()

    return answer
