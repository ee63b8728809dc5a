"""A server in the test's own loop behind its real doors, an application that echoes what it was asked, and a raw client."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import uvloop

from antiscrape.serving.config import configure
from antiscrape.serving.listening import listen
from antiscrape.serving.server import Server

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Coroutine

    from antiscrape.asgi.types import ASGIApp, Receive, Scope, Send
    from antiscrape.core.rules import IdentityRules, ServeRules

Result = TypeVar("Result")
#: Seconds after which a test that waits has failed; nothing that goes well takes them.
PATIENCE = 60.0


class Judged(NamedTuple):
    """A request as the application got it."""

    method: str
    path: bytes
    query: bytes
    host: list[bytes]
    body: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    client: Any
    complete: bool


async def live(receive: Receive, send: Send) -> None:
    """Do nothing in a lifespan but say so."""
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


@dataclass
class Echo:
    """Answers every request with what it was, and keeps it; ``hold`` makes answers wait."""

    judged: list[Judged] = field(default_factory=list)
    hold: asyncio.Event | None = None
    size: int = 0  # bytes of an answer, in one message; 0: what was asked
    unread: bool = False  # answer without reading the body
    began: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._http(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        self._keep(scope, b"", complete=True)
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.began += 1
        body, more = b"", not self.unread
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self._keep(scope, body, complete=False)
                return
            body += message["body"]
            more = message["more_body"]
        self._keep(scope, body, complete=True)
        if self.hold is not None:
            await self.hold.wait()
        told = b"x" * self.size or json.dumps([scope["method"], scope["path"], len(body)]).encode()
        length = str(len(told)).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": told})

    def _keep(self, scope: Scope, body: bytes, *, complete: bool) -> None:
        fields = tuple(scope["headers"])
        hosts = [value for name, value in fields if name == b"host"]
        method = scope.get("method", "websocket")
        told = (
            method,
            scope["raw_path"],
            scope["query_string"],
            hosts,
            body,
            fields,
            scope["client"],
            complete,
        )
        self.judged.append(Judged(*told))


@asynccontextmanager
async def served(
    app: ASGIApp, rules: ServeRules | None = None, identity: IdentityRules | None = None
) -> AsyncIterator[tuple[int, Server]]:
    """Serve ``app`` within ``rules``; give the port, and the server."""
    loggers = [logging.getLogger(name) for name in ("antiscrape", "uvicorn")]
    before = [(log.handlers[:], log.propagate, log.level) for log in loggers]
    config = configure(app, timeout_graceful_shutdown=1, rules=rules, identity=identity)
    for log, (handlers, propagate, level) in zip(loggers, before, strict=True):
        log.handlers[:], log.propagate = handlers, propagate  # the server's log is for a process of its own
        log.setLevel(level)
    ready = asyncio.Event()
    server = Server(config, ready=ready.set)
    sock = listen(host="127.0.0.1", port=0)
    port: int = sock.getsockname()[1]
    task = asyncio.create_task(server._serve(sockets=[sock]))
    try:
        async with asyncio.timeout(PATIENCE):
            await ready.wait()
        yield port, server
    finally:
        server.should_exit = True
        await task


async def until(holds: Callable[[], object]) -> None:
    """Let the loop turn until ``holds()``."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110  what is waited for is a server's inside, which tells nobody
            await asyncio.sleep(0.001)


async def ask(port: int, *pieces: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    """Send ``pieces`` on a connection of its own, and return all that comes until it is closed."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
        got = b""
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            while part := await reader.read(65536):
                got += part
        except ConnectionError:
            pass  # what is closed with something unread is reset
        finally:
            writer.transport.abort()
    return got


def statuses(raw: bytes) -> list[int]:
    """Return the statuses of the responses in ``raw``."""
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", raw)]


def get(path: bytes = b"/", *lines: bytes, host: bytes = b"site.test", last: bool = True) -> bytes:
    """Return a GET with the given lines, after which the connection closes if it is the ``last``."""
    close = [b"Connection: close"] if last else []
    return b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"Host: " + host, *close, *lines, b"", b""])


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run ``main`` in the loop that the server runs in, uvloop's."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
