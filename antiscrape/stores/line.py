"""The connections to one server, each used by one exchange at a time, and dropped where an exchange does not end well.

A reply that is left in a connection reaches the next caller, who is somebody else (redis-py
CVE-2023-28858 and CVE-2023-28859). So a connection goes back to the idle ones only after the last
reply was read; after a cancel, a time-out or an error it is closed (SECURITY I2).

redis-py brings the transport, the handshake, TLS and the parser; its client and its pool are left
out, which cost as much again per call and retry with pauses (SECURITY I1).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ReadOnlyError, RedisError, ResponseError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from antiscrape.core.store_address import Server, StoreAddress

#: What a script may answer, as RESP2 says it.
Reply = bytes | int | None | list["Reply"]
#: An open connection of redis-py, whichever kind.
Wire = Connection | UnixDomainSocketConnection

#: In strict mode a worker has as many exchanges under way as requests; beyond this they wait for each other.
MOST_CONNECTIONS = 16
#: redis-py calls it so from 7.0 on, and warns of the former name from 8.0 on.
_has_data: Final[Callable[[Any], Awaitable[bool]]] = (
    getattr(Connection, "can_read", None) or Connection.can_read_destructive
)


class Command(NamedTuple):
    """One command: its name and arguments, and a key that says which node of a cluster it is for (None: any)."""

    parts: tuple[bytes, ...]
    key: bytes | None = None


async def dial(address: StoreAddress, server: Server | None) -> Wire:
    """Return an open connection to ``server``, or to the socket of ``address``, with its user and database.

    Raise redis-py's errors or the system's. The caller sets the deadline.
    """
    settings: dict[str, Any] = {
        "protocol": 2,  # scripts answer alike in both, and RESP 2 needs no greeting
        "db": address.database,
        "username": address.username or None,
        "password": address.password or None,
        "socket_timeout": None,  # one deadline for the whole call, the caller's
        "socket_connect_timeout": None,
        "retry": Retry(NoBackoff(), 0),
    }
    wire: Wire
    if server is None:
        wire = UnixDomainSocketConnection(path=address.path, **settings)
    else:
        kind = SSLConnection if address.tls else Connection
        wire = kind(host=server.host, port=server.port, socket_keepalive=True, **settings)
    try:
        await wire.connect()  # type: ignore[no-untyped-call]  # redis-py says no types here
    except BaseException:
        await wire.disconnect(nowait=True)
        raise
    return wire


async def converse(wire: Wire, commands: Sequence[Command], replies: list[Reply | Exception]) -> None:
    """Send ``commands`` in one write and add a reply for each to ``replies``; an answered error is one of them.

    Whatever else goes wrong is raised: then ``wire`` is closed, and ``replies`` holds what came until then.
    """
    await wire.send_packed_command(b"".join(map(packed, commands)), check_health=False)
    for _ in commands:
        try:
            replies.append(await wire.read_response())
        except ResponseError as error:
            replies.append(error)


def packed(command: Command) -> bytes:
    """Return a command as RESP says it: an array of bulk strings (Valkey's protocol specification)."""
    said = [b"*%d\r\n" % len(command.parts)]
    for size, alike in groupby(command.parts, len):  # the names of records are all of one length
        begins = b"$%d\r\n" % size
        said += (begins, (b"\r\n" + begins).join(alike), b"\r\n")
    return b"".join(said)


class Line:
    """The connections to one server, which ``dials`` opens."""

    def __init__(self, dials: Callable[[], Awaitable[Wire]], *, most: int = MOST_CONNECTIONS) -> None:
        self._dials = dials
        self._idle: list[Wire] = []
        self._room = asyncio.Semaphore(most)
        self._closed = False
        self.open = 0

    async def exchange(self, commands: Sequence[Command], replies: list[Reply | Exception]) -> None:
        """Do as ``converse`` does, over a connection of its own; raise what stood in the way."""
        async with self._room:
            wire = await self._take()
            had = len(replies)
            try:
                await converse(wire, commands, replies)
            except BaseException:
                await self._drop(wire)
                raise
            if self._closed:
                await self._drop(wire)
                return
            self._idle.append(wire)
            if any(isinstance(reply, ReadOnlyError) for reply in replies[had:]):
                await self.forget()  # a master that became a replica is looked for anew

    async def _take(self) -> Wire:
        """Return an idle connection that the server has not closed meanwhile, or a new one."""
        while self._idle:
            wire = self._idle.pop()
            fit = False
            with suppress(RedisError, OSError):
                try:
                    fit = not await _has_data(wire)
                finally:
                    if not fit:
                        await self._drop(wire)
            if fit:
                return wire
        wire = await self._dials()
        self.open += 1
        return wire

    async def _drop(self, wire: Wire) -> None:
        self.open -= 1
        await wire.disconnect(nowait=True)

    async def forget(self) -> None:
        """Close the idle connections: whoever they lead to may be the wrong one by now."""
        while self._idle:
            await self._drop(self._idle.pop())

    async def aclose(self) -> None:
        """Close the idle connections; those in use are closed as they are given back."""
        self._closed = True
        await self.forget()
