"""The connections to one site: those that wait for a request, those that serve one, and who waits for one."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from contextlib import suppress
from http import HTTPStatus
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Final

from antiscrape.errors import UpstreamError
from antiscrape.upstream.connection import Connection
from antiscrape.upstream.health import Health

if TYPE_CHECKING:
    import ssl

    from antiscrape.core.forwarding import UpstreamRules
    from antiscrape.upstream.address import Address


#: Seconds for which a client may take nothing of its answer while others wait for its connection to the site: a line that
#: is alive takes a quarter of a megabyte in less.
_GRACE: Final = 1.0


class Crowded(UpstreamError):  # noqa: N818  the site has done nothing wrong
    """Every connection that a site may have is taken."""

    def __init__(self) -> None:
        super().__init__("every connection to the site is taken", HTTPStatus.GATEWAY_TIMEOUT)


class Pool:
    """The connections of one process to one site, at most ``rules.connections``.

    ``step``: how often, in seconds, somebody looks at their deadlines. ``held`` are the connections whose clients do not
    take what has come, each with the loop's time since when, the longest first. Where there is none to be had, these are the
    ones that go: 512 clients that read nothing would keep the site from everybody else (SECURITY L5).
    """

    def __init__(
        self, address: Address, rules: UpstreamRules, *, step: float, tls: ssl.SSLContext | None = None
    ) -> None:
        self.address = address
        self.step = step
        self.health = Health(after=rules.fail_after, least=rules.eject_least, most=rules.eject_most)
        self.busy: set[Connection] = set()
        self.held: dict[Connection, float] = {}
        self._idle: deque[Connection] = deque()
        self._limit = rules.connections
        self._keep_alive = rules.keep_alive
        self._connect_timeout = rules.connect_timeout
        self._opening = 0
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._tls = tls

    @property
    def load(self) -> int:
        """How many requests it serves, and how many wait for it."""
        return len(self.busy) + self._opening + len(self._waiting)

    @property
    def idle(self) -> int:
        """How many connections wait for a request."""
        return len(self._idle)

    def spare(self) -> Connection | None:
        """Return a connection that waits, the one that came last: those before it are the ones that time out."""
        while self._idle:
            connection = self._idle.pop()
            if connection.sound and not connection.gone:
                self.busy.add(connection)
                return connection
        return None

    async def connect(self, *, fresh: bool = False) -> Connection:
        """Return a connection, a new one where ``fresh``; raise ``UpstreamError`` where none is to be had in time."""
        if len(self.busy) + self._opening >= self._limit:
            spare = await self._turn()
            if spare is not None and not fresh:
                return spare
            if spare is not None:
                spare.abort()
                self.busy.discard(spare)
            self._opening -= 1 if spare is None else 0
        return await self.open()

    def give_back(self, connection: Connection) -> None:
        """Take a connection back whose exchange is over, in whatever way."""
        if not connection.over():
            connection.abort()
            self._drop(connection)
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self.busy.discard(connection)
        connection.rest(self._keep_alive)
        self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        """Drop a connection that closed while it waited; one that serves is given back by whom it serves."""
        with suppress(ValueError):
            self._idle.remove(connection)

    def look(self, now: float) -> bool:
        """Look at every deadline; return whether there is one."""
        for connection in tuple(self.busy):
            connection.look(now)
        if self._waiting:
            self._make_room(now)
        while self._idle and self._idle[0].deadline < now:
            self._idle.popleft().abort()
        return bool(self.busy or self._idle)

    def close(self) -> None:
        """Drop every connection."""
        for connection in (*self.busy, *self._idle):
            connection.abort()
        self._idle.clear()

    async def _turn(self) -> Connection | None:
        """Wait for a connection, or, where it is None, for a place in which to open one (counted already)."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Connection | None] = loop.create_future()
        self._waiting.append(waiter)
        self._make_room(loop.time())
        try:
            async with asyncio.timeout(self._connect_timeout):
                return await waiter
        except BaseException as error:
            with suppress(ValueError):
                self._waiting.remove(waiter)
            if (
                waiter.done() and not waiter.cancelled()
            ):  # given in the moment in which nobody wanted it any more
                self._pass_on(waiter.result())
            if isinstance(error, TimeoutError):
                raise Crowded from error
            raise

    def _make_room(self, now: float) -> None:
        """Cut off as many as wait for a connection of those that have kept theirs for nothing."""
        wanted = sum(not waiter.done() for waiter in self._waiting)
        late = islice(takewhile(lambda one: now - self.held[one] > _GRACE, self.held), wanted)
        for connection in tuple(late):
            del self.held[connection]
            connection.fail(UpstreamError("the client did not take its answer, and others waited"))
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        """Count a connection no more; it may have been cut off before it is given back."""
        if connection in self.busy:
            self.busy.remove(connection)
            self._pass_place()

    def _pass_on(self, connection: Connection | None) -> None:
        if connection is not None:
            self.give_back(connection)
        else:
            self._opening -= 1
            self._pass_place()

    def _pass_place(self) -> None:
        """Let the next one who waits open a connection."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._opening += 1
                waiter.set_result(None)
                return

    async def open(self) -> Connection:
        """Return a new connection, however many there are; raise ``UpstreamError``."""
        self._opening += 1
        loop = asyncio.get_running_loop()
        opened = False
        try:
            async with asyncio.timeout(self._connect_timeout):
                connection = await self._dial(loop)
            opened = True
        except TimeoutError as error:
            raise UpstreamError(
                "the site did not take a connection in time", HTTPStatus.GATEWAY_TIMEOUT
            ) from error
        except (OSError, UnicodeError) as error:  # ssl.SSLError is an OSError; a name may be none to IDNA
            raise UpstreamError(_words(error)) from error
        finally:
            self._opening -= 1
            if not opened:
                self._pass_place()
        self.busy.add(connection)
        return connection

    async def _dial(self, loop: asyncio.AbstractEventLoop) -> Connection:
        def protocol() -> Connection:
            return Connection(self, loop)

        address = self.address
        if address.path is not None:
            return (await loop.create_unix_connection(protocol, address.path))[1]
        name = address.host if self._tls is not None else None
        transport, connection = await loop.create_connection(
            protocol, address.host, address.port, ssl=self._tls, server_hostname=name
        )
        sock = transport.get_extra_info("socket")
        if sock is not None:  # a peer that vanished without a word is noticed, at last, by the kernel
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connection


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".encode("unicode_escape").decode("ascii")[:400]
