"""Where connections come in: a server for each listening socket, with TLS and the PROXY protocol where they are asked for."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from antiscrape.core.identity import Identity
from antiscrape.serving.proxy_protocol import ProxyHeaderError, read_header

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Sequence

    import uvicorn

    from antiscrape.core.rules import ServeRules
    from antiscrape.serving.config import Config
    from antiscrape.serving.protocol import Protocol as Connection

    Make = Callable[[], Connection]

_log = logging.getLogger(__name__)

#: Seconds without accepting where the process has no file descriptor left (accept(2), EMFILE): asyncio's own.
_NO_MORE = 1.0
#: accept(2) is asked at most so often in one turn of the loop.
_AT_ONCE = 100


class Door(Protocol):
    """What uvicorn closes when it drains."""

    def close(self) -> None:
        """Accept no more."""

    async def wait_closed(self) -> None:
        """Wait for the end."""


async def open_doors(server: uvicorn.Server, sockets: Sequence[socket.socket]) -> list[Door]:
    """Listen on ``sockets`` for a server that has started and whose configuration is ours."""
    loop = asyncio.get_running_loop()
    config: Config = server.config  # type: ignore[assignment]  # ours
    rules = config.rules

    def make() -> Connection:
        made: Connection = config.http_protocol_class(  # type: ignore[assignment, call-arg]  # uvicorn's own signature
            config=config, server_state=server.server_state, app_state=server.lifespan.state
        )
        return made

    doors: list[Door] = []
    for sock in sockets:
        if rules.proxy_protocol:
            doors.append(
                ProxiedDoor(sock, make, rules, Identity(config.identity), config.ssl, config.backlog)
            )
        else:
            # the time of a handshake is a limit on silence as that of a first byte is (SECURITY C5)
            patience = rules.first_byte + rules.head if config.ssl else None
            doors.append(
                await loop.create_server(
                    make,
                    sock=sock,
                    ssl=config.ssl,
                    backlog=config.backlog,
                    ssl_handshake_timeout=patience,
                )
            )
    if config.certificates is not None:
        doors.append(_Keeper(config.certificates.keep))
    return doors


class _Keeper:
    """Keeps certificates fresh for as long as connections are accepted."""

    def __init__(self, keep: Callable[[], object]) -> None:
        self._task = asyncio.ensure_future(keep())  # type: ignore[call-overload]  # a coroutine function
        self.close = self._task.cancel

    async def wait_closed(self) -> None:
        await asyncio.wait({self._task})


class ProxiedDoor:
    """Accepts connections that begin with a PROXY header, from peers that are trusted to write one."""

    def __init__(
        self,
        sock: socket.socket,
        make: Make,
        rules: ServeRules,
        identity: Identity,
        tls: ssl.SSLContext | None,
        backlog: int,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock, self._make, self._rules, self._tls = sock, make, rules, tls
        self._identity = identity
        self._entering: set[asyncio.Task[None]] = set()
        self._told: set[str] = set()
        sock.setblocking(False)  # noqa: FBT003  the standard library's signature
        sock.listen(backlog)
        self._loop.add_reader(sock.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more; what is still before its header is let go."""
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()
        for task in self._entering:
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait until the last that entered is in or gone."""
        if self._entering:
            await asyncio.wait(set(self._entering))

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                sock, peer = self._sock.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except OSError:
                self._loop.remove_reader(self._sock.fileno())
                self._loop.call_later(_NO_MORE, self._accept_again)
                return
            sock.setblocking(False)  # noqa: FBT003  the standard library's signature
            address = str(peer[0]) if isinstance(peer, tuple) else ""
            if not self._identity.trusts(address):
                sock.close()
                self._tell(
                    address, "it is none of identity.trusted_proxies, who alone may write a PROXY header"
                )
                continue
            task = self._loop.create_task(self._enter(sock, address))
            self._entering.add(task)
            task.add_done_callback(self._entering.discard)

    def _accept_again(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.add_reader(self._sock.fileno(), self._accept)

    def _tell(self, address: str, why: str) -> None:
        """Log why a connection was closed, each reason once: a balancer that is set up wrongly meets it every time."""
        if why not in self._told:
            self._told.add(why)
            _log.warning(
                "a connection from %s was closed: %s (this is said once)", address or "a unix socket", why
            )

    async def _enter(self, sock: socket.socket, address: str) -> None:
        try:
            async with asyncio.timeout(self._rules.first_byte):
                named = await read_header(sock)
        except ProxyHeaderError as error:
            sock.close()
            self._tell(address, f"{error}; serve.proxy_protocol asks for one")
            return
        except OSError:  # a timeout is one, too: whoever says nothing is told of nowhere
            sock.close()
            return
        except asyncio.CancelledError:
            sock.close()
            raise

        def make() -> Connection:
            connection = self._make()
            connection.named = named
            return connection

        patience = self._rules.first_byte + self._rules.head if self._tls else None
        with suppress(OSError):  # the client left, or its handshake failed
            await self._loop.connect_accepted_socket(
                make, sock, ssl=self._tls, ssl_handshake_timeout=patience
            )
